package client_test

import (
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
)

// The ids of children look like those of any task of their queue. Another attempt gets the same
// ids, in whatever order it sends the children.
func TestChildIDs(t *testing.T) {
	type none struct {
		N int `arbiter:"n"`
	}
	b := memory.New()
	defer func() { _ = b.Close() }()
	c := client.New(client.Config{Broker: b})
	defer func() { _ = c.Close() }()
	here, there := task.Define[none, int]("a"), task.Define[none, int]("a", task.Queue("there"))
	parent := broker.NewID(broker.KindTask, "default", 0)
	ids := func(s *client.Child, calls ...task.Bound) map[broker.ID]int {
		got := make(map[broker.ID]int)
		for i, call := range calls {
			rec, err := s.Prepare(call, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if rec.ID.Kind() != broker.KindTask || rec.ID.QueueHash() != broker.QueueHash(rec.Queue) ||
				rec.ID.String()[14] != '7' || rec.Parent != parent {
				t.Errorf("id %s of %+v", rec.ID, rec)
			}
			again, err := s.Prepare(call, time.Now())
			if err != nil || again.ID != rec.ID {
				t.Errorf("the same call again: %s, %v", again.ID, err)
			}
			got[rec.ID] = i
		}
		return got
	}
	first := ids(&client.Child{Client: c, Parent: parent, Attempt: 1},
		here.Bind(none{1}), here.Bind(none{1}), here.Bind(none{2}), there.Bind(none{1}))
	second := &client.Child{Client: c, Parent: parent, Attempt: 2}
	for range 2 { // the second time after middleware has run the handler again
		got := ids(second, there.Bind(none{1}), here.Bind(none{2}), here.Bind(none{1}), here.Bind(none{1}))
		if len(first) != 4 || len(got) != 4 {
			t.Fatalf("%d and %d ids, want 4", len(first), len(got))
		}
		for id := range got {
			if _, ok := first[id]; !ok {
				t.Errorf("%s is new in the second attempt", id)
			}
		}
		second.Reset()
	}
	other := ids(&client.Child{Client: c, Parent: parent}, here.Bind(none{3}))
	for id := range other {
		if _, ok := first[id]; ok {
			t.Error("other arguments have the same id")
		}
	}
	parent = broker.NewID(broker.KindTask, "default", 0)
	for id := range ids(&client.Child{Client: c, Parent: parent}, here.Bind(none{1})) {
		if _, ok := first[id]; ok {
			t.Error("another parent has the same id")
		}
	}
}

// Tasks with the same unique key are in the same partition, whether a task or an arbiter sends
// them.
func TestUniqueIsInOnePartition(t *testing.T) {
	type none struct {
		N int `arbiter:"n"`
	}
	b := memory.New()
	defer func() { _ = b.Close() }()
	c := client.New(client.Config{Broker: b})
	defer func() { _ = c.Close() }()
	once := task.Define[none, int]("a", task.Unique("k"))
	want := broker.NewTaskID("default", broker.ScopedKey("a", "k")).Partition()
	for i := range 3 {
		child := &client.Child{Client: c, Parent: broker.NewID(broker.KindTask, "default", 0), Attempt: 1}
		rec, err := child.Prepare(once.Bind(none{i}), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := rec.ID.Partition(); got != want {
			t.Errorf("sender %d: partition %d, want %d", i, got, want)
		}
	}
}

// All tasks with a lane are in one partition, whether a task or an arbiter sends them, and also
// with a unique key.
func TestLaneIsInOnePartition(t *testing.T) {
	type none struct {
		N int `arbiter:"n"`
	}
	for i := range 20 {
		child := &client.Child{Parent: broker.NewID(broker.KindTask, "default", 0), Attempt: 1}
		for _, opts := range [][]task.Option{
			{task.Priority(7)},
			{task.FairKey("k"), task.Unique("k")},
		} {
			call := task.Define[none, int]("a", opts...).Bind(none{i})
			sent, err := child.Record(call.Request(), codec.Msgpack(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			alone, err := call.With().Request().Prepare(codec.Msgpack(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			for sender, rec := range map[string]*broker.Task{"a task": sent, "an arbiter": alone} {
				if rec.Lane == nil || rec.ID.Partition() != broker.LanePartition {
					t.Errorf("sent by %s: partition %d, want %d", sender, rec.ID.Partition(), broker.LanePartition)
				}
			}
		}
	}
}
