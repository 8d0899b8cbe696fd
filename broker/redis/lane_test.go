package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// laned returns a task with a lane.
func laned(queue string, l broker.Lane) *broker.Task {
	if l.Priority == 0 {
		l.Priority = broker.DefaultPriority
	}
	return newTask(queue, func(t *broker.Task) { t.Lane = &l })
}

func TestLanes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		ctx := t.Context()
		if err := b.SetLimit(ctx, "q", broker.Limit{Name: "render", Most: 1}); err != nil {
			t.Fatal(err)
		}
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
		one := broker.Lane{Limits: []broker.Charge{{Limit: "render", Cost: 1}}}
		for range 3 {
			enqueue(t, b, laned("q", one))
		}
		enqueue(t, b, newTask("q"))
		got, err := c.Dequeue(ctx, []string{"q"}, 10, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		more, err := c.Dequeue(ctx, []string{"q"}, 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, more...)
		if len(got) != 2 {
			t.Fatalf("%d tasks were handed out, want 2", len(got))
		}
		for n := 0; n < 4; {
			for _, d := range got {
				settle(t, c, succeed(d, "1"))
				n++
			}
			got, err = c.Dequeue(ctx, []string{"q"}, 10, 200*time.Millisecond)
			if err != nil || len(got) > 1 {
				t.Fatalf("%d tasks, %v", len(got), err)
			}
			if len(got) == 0 && n < 4 {
				t.Fatalf("only %d of 4 tasks were handed out", n)
			}
		}
		nothingOfLanes(ctx, t, b)

		// Keys take turns.
		for i := range 20 {
			enqueue(t, b, laned("q", broker.Lane{Key: "large"}))
			if i < 3 {
				enqueue(t, b, laned("q", broker.Lane{Key: "small"}))
			}
		}
		enqueue(t, b, laned("q", broker.Lane{Priority: 9}))
		got = dequeue(t, c, 24, time.Second, "q")
		var order []string
		for _, d := range got {
			order = append(order, fmt.Sprint(d.Lane.Priority, d.Lane.Key))
			settle(t, c, succeed(d, "1"))
		}
		t.Log(order)
		if len(got) != 24 {
			t.Fatalf("%d of 24", len(got))
		}
		nothingOfLanes(ctx, t, b)

		// Sequences.
		for range 3 {
			enqueue(t, b, laned("q", broker.Lane{Sequence: "s"}))
		}
		for i := range 3 {
			got, err = c.Dequeue(ctx, []string{"q"}, 10, time.Second)
			if err != nil || len(got) != 1 {
				t.Fatalf("step %d: %d tasks, %v", i, len(got), err)
			}
			settle(t, c, broker.Settlement{Delivery: got[0], Verb: broker.VerbRetry, Delay: 10 * time.Millisecond})
			again, err := c.Dequeue(ctx, []string{"q"}, 10, time.Second)
			if err != nil || len(again) != 1 || again[0].ID != got[0].ID {
				t.Fatalf("step %d: the retried task does not come next: %d, %v", i, len(again), err)
			}
			settle(t, c, succeed(again[0], "1"))
		}
		nothingOfLanes(ctx, t, b)
	})
}

// nothingOfLanes checks that no task waits or runs.
func nothingOfLanes(ctx context.Context, t *testing.T, b broker.Broker) {
	t.Helper()
	in, err := broker.InspectorOf(b, "x")
	if err != nil {
		t.Fatal(err)
	}
	all, err := in.Queues(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		if q.Pending+q.Running+q.Scheduled != 0 {
			t.Errorf("%+v", q)
		}
	}
}
