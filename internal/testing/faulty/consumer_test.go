package faulty_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
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

// While a process is cut off, its requests fail at once and have no effect, and the reply of a
// request that was under way is lost. Later it gets the tasks of that reply.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, m := t.Context(), memory.New()
		defer func() { _ = m.Close() }()
		b := faulty.New(m)
		c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 2, OnCancel: func(broker.ID) {
			t.Error("the broker called back a process that is cut off")
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(context.Background()) }()
		waits := make(chan error)
		go func() {
			got, err := c.Dequeue(ctx, []string{"q"}, 1, time.Minute)
			if len(got) > 0 {
				t.Error("a process that is cut off got a task")
			}
			waits <- err
		}()
		synctest.Wait()
		b.CutOff(true)
		task := &broker.Task{ID: broker.NewTaskID("q", ""), Name: "t", Queue: "q"}
		if err := b.Enqueue(ctx, []*broker.Task{task}); !errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrIndeterminate) {
			t.Errorf("Enqueue returned %v, want that nothing was stored", err)
		}
		if err := m.Enqueue(ctx, []*broker.Task{task}); err != nil {
			t.Fatal(err)
		}
		if err := <-waits; !errors.Is(err, broker.ErrIndeterminate) {
			t.Errorf("Dequeue returned %v, want that its reply was lost", err)
		}
		if _, err := m.Cancel(ctx, []broker.ID{task.ID}); err != nil {
			t.Fatal(err)
		}
		b.CutOff(false)
		got, err := c.Dequeue(ctx, []string{"q"}, 1, 0)
		if err != nil || len(got) != 1 || !got[0].Canceled {
			t.Errorf("%v, %v, want the task, which was cancelled meanwhile", got, err)
		}
	})
}
