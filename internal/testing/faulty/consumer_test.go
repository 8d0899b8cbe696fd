package faulty_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
)

// A task is assigned twice to a process that hangs. The process gets it once when it goes on.
func TestAssignedWhileItHangs(t *testing.T) {
	ctx, m := t.Context(), memory.New()
	defer func() { _ = m.Close() }()
	b := faulty.New(m)
	c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 2, Squads: broker.SquadsConfig{OnAssign: func([]*broker.Delivery) {
		t.Error("the broker called back a process that hangs")
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	task := &broker.Task{ID: broker.NewTaskID("q", ""), Name: "t", Queue: "q", Flow: broker.TaskFlow{Squad: true, Blocked: true}, Delay: time.Minute}
	if err := m.Enqueue(ctx, []*broker.Task{task}); err != nil {
		t.Fatal(err)
	}
	b.Hang(true)
	for range 2 {
		if err := m.Assign(ctx, c.ID(), []broker.ID{task.ID}); err != nil {
			t.Fatal(err)
		}
	}
	b.Hang(false)
	for _, want := range []int{1, 0} {
		got, err := c.Dequeue(ctx, []string{"q"}, 1, 0)
		if err != nil || len(got) != want {
			t.Errorf("%d tasks, %v, want %d", len(got), err, want)
		}
	}
}
