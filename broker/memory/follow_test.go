package memory

import (
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// An id that has ended is not kept in the list of followed ids. Otherwise the list would
// grow with every result that is asked for.
func TestFollowedAfterItsEnd(t *testing.T) {
	b := New()
	defer func() { _ = b.Close() }()
	in, err := b.Inbox(t.Context(), broker.NewID(broker.KindTask, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	inbox := in.(*inbox).id
	over, alive := followed(t, b), followed(t, b)
	if _, err := b.Cancel(t.Context(), []broker.ID{over}); err != nil {
		t.Fatal(err)
	}
	if err := b.Follow(t.Context(), inbox, []broker.ID{over, alive}); err != nil {
		t.Fatal(err)
	}
	if got := b.followers.all; len(got) != 1 || len(got[alive]) != 1 {
		t.Errorf("followed ids: %v, want only %v", got, alive)
	}
	if _, err := b.Cancel(t.Context(), []broker.ID{alive}); err != nil {
		t.Fatal(err)
	}
	if got := b.followers.all; len(got) != 0 || b.followers.n.Load() != 0 {
		t.Errorf("followed ids after the end: %v, want none", got)
	}
}

func followed(t *testing.T, b *Broker) broker.ID {
	t.Helper()
	task := &broker.Task{ID: broker.NewID(broker.KindTask, "q", 0), Queue: "q", Name: "t", Codec: "json", Retention: broker.DefaultRetention}
	if err := b.Enqueue(t.Context(), []*broker.Task{task}); err != nil {
		t.Fatal(err)
	}
	return task.ID
}
