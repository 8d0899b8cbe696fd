package memory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
)

var queues = []string{"default"}

func batch(n int, inbox broker.ID) []*broker.Task {
	tasks := make([]*broker.Task, n)
	for i := range tasks {
		tasks[i] = &broker.Task{
			ID: broker.NewID(broker.KindTask, "default", 0), Name: "simple_add", Queue: "default",
			Codec: "msgpack", Payload: []byte{0x82, 0xa1, 'x', 1, 0xa1, 'y', 2}, Inbox: inbox,
			Retries: broker.DefaultRetries, Retention: time.Hour, DeadFor: time.Hour,
		}
	}
	return tasks
}

// BenchmarkEnqueue measures the cost of enqueueing a task, without making the task.
func BenchmarkEnqueue(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			ctx := context.Background()
			br := memory.New()
			defer func() { _ = br.Close() }()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n%size == 0 {
					b.StopTimer()
					tasks := batch(size, broker.ID{})
					b.StartTimer()
					if err := br.Enqueue(ctx, tasks); err != nil {
						b.Fatal(err)
					}
				}
				n++
			}
		})
	}
}

// BenchmarkCycle measures the cost of a task from making it to receiving its outcome, one
// batch after the other.
func BenchmarkCycle(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			ctx := context.Background()
			br := memory.New()
			defer func() { _ = br.Close() }()
			id := broker.NewID(broker.KindParty, "", 0)
			in, err := br.Inbox(ctx, id)
			if err != nil {
				b.Fatal(err)
			}
			c, err := br.Consume(ctx, broker.ConsumerConfig{Queues: queues, Slots: size})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; n%size == 0 {
					cycle(b, br, c, in, batch(size, id))
				}
			}
		})
	}
}

func cycle(b *testing.B, br *memory.Broker, c broker.Consumer, in broker.Inbox, tasks []*broker.Task) {
	ctx := context.Background()
	if err := br.Enqueue(ctx, tasks); err != nil {
		b.Fatal(err)
	}
	got, err := c.Dequeue(ctx, queues, len(tasks), 0)
	if err != nil || len(got) != len(tasks) {
		b.Fatal(len(got), err)
	}
	settle := make([]broker.Settlement, len(got))
	for i, d := range got {
		settle[i] = broker.Settlement{Delivery: d, Outcome: broker.Outcome{
			State: broker.StateSucceeded, Codec: "msgpack", Result: []byte{3}, Name: d.Name, Attempts: 1,
		}}
	}
	if _, err := c.Settle(ctx, settle); err != nil {
		b.Fatal(err)
	}
	for left := len(tasks); left > 0; {
		mail, err := in.Receive(ctx)
		if err != nil {
			b.Fatal(err)
		}
		left -= len(mail.Notices)
	}
}

// BenchmarkLanes measures the cost of a task with a lane, from making it to its end, while many
// others wait: each with a key of its own, at two limits that they share, or at limits of their
// own.
func BenchmarkLanes(b *testing.B) {
	limits := func(i int, shared ...string) []broker.Charge {
		out := []broker.Charge{{Limit: "each", Key: fmt.Sprint(i), Cost: 1}}
		for _, name := range shared {
			out = append(out, broker.Charge{Limit: name, Cost: 1})
		}
		return out
	}
	for _, bb := range []struct {
		name string
		most int
		lane func(i int) *broker.Lane
	}{
		{"keys", 100_000, func(i int) *broker.Lane { return &broker.Lane{Key: fmt.Sprint(i)} }},
		{"shared", 10_000, func(i int) *broker.Lane {
			return &broker.Lane{Key: fmt.Sprint(i), Limits: []broker.Charge{{Limit: "one", Cost: 1}, {Limit: "two", Cost: 1}}}
		}},
		{"own", 10_000, func(i int) *broker.Lane { return &broker.Lane{Limits: limits(i)} }},
		{"both", 10_000, func(i int) *broker.Lane { return &broker.Lane{Key: fmt.Sprint(i), Limits: limits(i, "one")} }},
		{"sequences", 10_000, func(i int) *broker.Lane { return &broker.Lane{Sequence: fmt.Sprint(i / 10)} }},
	} {
		for _, n := range []int{100, bb.most} {
			b.Run(fmt.Sprint(bb.name, "/", n), func(b *testing.B) {
				ctx := context.Background()
				br := memory.New(memory.Lease(time.Hour))
				defer func() { _ = br.Close() }()
				for name, most := range map[string]int{"one": 10, "two": 5, "each": 1} {
					if err := br.SetLimit(ctx, "default", broker.Limit{Name: name, Most: most}); err != nil {
						b.Fatal(err)
					}
				}
				c, err := br.Consume(ctx, broker.ConsumerConfig{Queues: queues, Slots: 1})
				if err != nil {
					b.Fatal(err)
				}
				enqueue := func(lanes []*broker.Lane) {
					tasks := batch(len(lanes), broker.ID{})
					for i, l := range lanes {
						tasks[i].Lane = l
					}
					if err := br.Enqueue(ctx, tasks); err != nil {
						b.Fatal(err)
					}
				}
				lanes := make([]*broker.Lane, n)
				for i := range lanes {
					lanes[i] = bb.lane(i)
				}
				enqueue(lanes)
				b.ReportAllocs()
				tasks := 0
				for b.Loop() {
					got, err := c.Dequeue(ctx, queues, 10, 0)
					if err != nil || len(got) == 0 {
						b.Fatal(len(got), err)
					}
					settle := make([]broker.Settlement, len(got))
					again := make([]*broker.Lane, len(got))
					for i, d := range got {
						again[i] = d.Lane
						settle[i] = broker.Settlement{Delivery: d, Outcome: broker.Outcome{State: broker.StateSucceeded}}
					}
					if _, err := c.Settle(ctx, settle); err != nil {
						b.Fatal(err)
					}
					enqueue(again)
					tasks += len(got)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(tasks), "ns/task")
			})
		}
	}
}
