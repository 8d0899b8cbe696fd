package memory

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The outcome that the broker keeps shares no memory with the notice or with the result
// of a look-up.
func TestKeptOutcome(t *testing.T) {
	b := New()
	defer func() { _ = b.Close() }()
	ctx := t.Context()
	in, err := b.Inbox(ctx, broker.NewID(broker.KindParty, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	meta := map[string]string{"k": "v"}
	given := &broker.Task{
		ID: broker.NewTaskID("q", ""), Name: "t", Queue: "q", Codec: "json", Inbox: in.(*inbox).id, Meta: maps.Clone(meta), Retention: time.Hour,
	}
	if err := b.Enqueue(ctx, []*broker.Task{given}); err != nil {
		t.Fatal(err)
	}
	given.Meta["k"] = "changed by the sender"
	got, err := c.Dequeue(ctx, []string{"q"}, 1, 0)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d tasks, %v", len(got), err)
	}
	result := []byte("the result")
	settle := []broker.Settlement{{Delivery: got[0], Outcome: broker.Outcome{State: broker.StateSucceeded, Name: "t", Codec: "json", Result: result}}}
	if errs, err := c.Settle(ctx, settle); err != nil || errs[0] != nil {
		t.Fatal(errs, err)
	}
	clear(result)
	mail, err := in.Receive(ctx)
	if err != nil || len(mail.Notices) != 1 {
		t.Fatalf("%+v, %v", mail, err)
	}
	clear(mail.Notices[0].Record)
	for range 2 {
		found, err := b.Lookup(ctx, []broker.ID{given.ID})
		if err != nil {
			t.Fatal(err)
		}
		st := &found[0]
		if st.State != broker.StateSucceeded || st.Queue != "q" || string(st.Outcome.Result) != "the result" || !maps.Equal(st.Meta, meta) {
			t.Fatalf("the status is %+v with the outcome %+v", st, st.Outcome)
		}
		clear(st.Outcome.Result)
		st.Meta["k"] = "changed by the reader"
	}
}

// A dead letter leaves a tombstone when its retention ends, and its id is free later. Each
// row is a time after the failure.
func TestEndOfDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Lease(time.Hour))
		defer func() { _ = b.Close() }()
		ctx := t.Context()
		c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
		if err != nil {
			t.Fatal(err)
		}
		x := &broker.Task{ID: broker.NewTaskID("q", ""), Name: "t", Queue: "q", Codec: "json", DeadFor: 3 * time.Minute}
		if err := b.Enqueue(ctx, []*broker.Task{x}); err != nil {
			t.Fatal(err)
		}
		got, err := c.Dequeue(ctx, []string{"q"}, 1, 0)
		if err != nil || len(got) != 1 {
			t.Fatalf("%d tasks, %v", len(got), err)
		}
		settle := []broker.Settlement{{Delivery: got[0], Outcome: broker.Outcome{
			State: broker.StateFailed, Name: "t", Codec: "json", Err: &broker.Failure{Message: "no"},
		}}}
		ended := time.Now()
		for _, row := range []struct {
			after  time.Duration
			state  broker.State
			record bool
			ids    int
		}{
			{0, broker.StateFailed, true, 1},
			{3*time.Minute - time.Second, broker.StateFailed, true, 1},
			{3*time.Minute + time.Second, broker.StateUnknown, false, 1},
			{broker.MinTombstone - time.Second, broker.StateUnknown, false, 1},
			{broker.MinTombstone + 2*time.Minute, broker.StateUnknown, false, 0},
		} {
			time.Sleep(time.Until(ended.Add(row.after)))
			synctest.Wait()
			// A repeated settlement is recognised as long as the id is.
			errs, err := c.Settle(ctx, settle)
			if err != nil || (errs[0] == nil) != (row.ids > 0) {
				t.Errorf("after %v: the settlement returns %v, %v", row.after, errs, err)
			}
			found, err := b.Lookup(ctx, []broker.ID{x.ID})
			if err != nil || found[0].State != row.state || (found[0].Outcome != nil) != row.record {
				t.Errorf("after %v: %+v, %v, want state %s", row.after, found[0], err, row.state)
			}
			r, _ := b.index.find(x.ID)
			s := b.index.shard(x.ID)
			s.mu.Lock()
			n := s.records.Len() + s.graves.Len()
			s.mu.Unlock()
			if (r != nil) != row.record || n != row.ids {
				t.Errorf("after %v: record %v, %d ids", row.after, r, n)
			}
		}
	})
}
