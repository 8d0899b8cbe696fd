package redis_test

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// The message about assigned tasks can be lost on its way to the minion. Then heartbeats find
// the tasks, and Dequeue returns them.
func TestAssignedUnheard(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	ctx := context.Background()
	b, err := redis.Open(ctx, redistest.Start(t, path).URL(), redis.Partitions(3), unhurried)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10}) // without OnAssign it hears no message
	if err != nil {
		t.Fatal(err)
	}
	tasks := make([]*broker.Task, 10)
	ids := make([]broker.ID, len(tasks))
	for i := range tasks {
		ids[i] = broker.NewID(broker.KindTask, "q", uint8(i))
		tasks[i] = &broker.Task{ID: ids[i], Name: "t", Queue: "q", Codec: "msgpack", Flow: broker.TaskFlow{Blocked: true, Squad: true}, Retention: time.Hour}
	}
	if err := b.Enqueue(ctx, tasks); err != nil {
		t.Fatal(err)
	}
	if err := b.Assign(ctx, c.ID(), ids); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Dequeue(ctx, []string{"q"}, 10, 0); len(got) > 0 || err != nil {
		t.Fatalf("%d tasks, %v", len(got), err)
	}
	for range 2 {
		if err := c.Heartbeat(ctx, broker.Load{}); err != nil {
			t.Fatal(err)
		}
	}
	found := make(map[broker.ID]bool)
	for range 10 {
		got, err := c.Dequeue(ctx, []string{"q"}, 4, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if found[d.ID] || !d.Flow.Squad || d.Attempt != 1 || d.Minion != c.ID() {
				t.Errorf("%+v", d)
			}
			found[d.ID] = true
		}
	}
	if len(found) != len(tasks) {
		t.Errorf("Dequeue returned %d tasks, want %d", len(found), len(tasks))
	}
}

// After a lost reply an arbiter assigns again, and the second message may come late. An attempt
// that has ended by then does not start again.
func TestAssignedTwice(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		heard := make(chan []*broker.Delivery, 3)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Squads: broker.SquadsConfig{OnAssign: func(ds []*broker.Delivery) { heard <- ds }}})
		opts, err := goredis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		raw := goredis.NewClient(opts)
		defer func() { _ = raw.Close() }()
		listener := raw.PSubscribe(t.Context(), "*post*")
		defer func() { _ = listener.Close() }()
		if _, err := listener.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		squad := func(x *broker.Task) { x.Flow.Blocked, x.Flow.Squad = true, true }
		first, second := newTask("q", squad), newTask("q", squad)
		if err := b.Enqueue(t.Context(), []*broker.Task{first, second}); err != nil {
			t.Fatal(err)
		}
		if err := b.Assign(t.Context(), c.ID(), []broker.ID{first.ID}); err != nil {
			t.Fatal(err)
		}
		sent, err := listener.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		again := func() {
			t.Helper()
			if err := raw.Publish(t.Context(), sent.Channel, sent.Payload).Err(); err != nil {
				t.Fatal(err)
			}
		}
		again() // while the task runs
		got := <-heard
		if errs := settle(t, c, succeed(got[0], "1")); errs[0] != nil {
			t.Fatal(errs[0])
		}
		again() // after the task has ended
		if err := b.Assign(t.Context(), c.ID(), []broker.ID{second.ID}); err != nil {
			t.Fatal(err)
		}
		if got := <-heard; len(got) != 1 || got[0].ID != second.ID {
			t.Fatalf("got %+v, want only the second task", got[0])
		}
	})
}
