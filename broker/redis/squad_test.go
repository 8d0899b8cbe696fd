package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/redistest"
)

// Tasks that were assigned, and whose message is lost on the way to the minion,
// are found by heartbeats and handed out by Dequeue.
func TestAssignedUnheard(t *testing.T) {
	path := redistest.Path(t)
	if path == "" {
		return
	}
	ctx := context.Background()
	b, err := redis.Open(ctx, redistest.Start(t, path).URL(), redis.Partitions(3))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10}) // it hears nothing
	if err != nil {
		t.Fatal(err)
	}
	tasks := make([]*broker.Task, 10)
	ids := make([]broker.ID, len(tasks))
	for i := range tasks {
		ids[i] = broker.NewID(broker.KindTask, "q", uint8(i))
		tasks[i] = &broker.Task{ID: ids[i], Name: "t", Queue: "q", Codec: "msgpack", Blocked: true, Squad: true, Retention: time.Hour}
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
			if found[d.ID] || !d.Squad || d.Attempt != 1 || d.Minion != c.ID() {
				t.Errorf("%+v", d)
			}
			found[d.ID] = true
		}
	}
	if len(found) != len(tasks) {
		t.Errorf("%d tasks were found, want %d", len(found), len(tasks))
	}
}
