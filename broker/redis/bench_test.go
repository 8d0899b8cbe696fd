package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// These benchmarks measure the scripts on a real server, together with the work of the client.
// Figures are per task.

func benchBroker(b *testing.B) *redis.Broker {
	path := redistest.Path(b)
	if path == "" {
		b.FailNow() // Path has said why
	}
	br, err := redis.Open(b.Context(), "redis://"+redistest.Start(b, path).Addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = br.Close() })
	return br
}

func benchTasks(n int, inbox broker.ID) []*broker.Task {
	tasks := make([]*broker.Task, n)
	for i := range tasks {
		tasks[i] = newTask("q", func(t *broker.Task) { t.Inbox = inbox })
	}
	return tasks
}

func BenchmarkEnqueue(b *testing.B) {
	for _, batch := range []int{1, 10, 500} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			br := benchBroker(b)
			b.ReportAllocs()
			for n := 0; n < b.N; n += batch {
				b.StopTimer()
				tasks := benchTasks(batch, broker.ID{})
				b.StartTimer()
				if err := br.Enqueue(b.Context(), tasks); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLife measures the whole life of a task: it is stored, taken and settled, and its
// result is received.
func BenchmarkLife(b *testing.B) {
	for _, batch := range []int{1, 10, 500} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			br := benchBroker(b)
			id := broker.NewID(broker.KindParty, "", 0)
			in, err := br.Inbox(b.Context(), id)
			if err != nil {
				b.Fatal(err)
			}
			c, err := br.Consume(b.Context(), broker.ConsumerConfig{Queues: []string{"q"}, Slots: batch})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for n := 0; n < b.N; n += batch {
				b.StopTimer()
				tasks := benchTasks(batch, id)
				b.StartTimer()
				if err := br.Enqueue(b.Context(), tasks); err != nil {
					b.Fatal(err)
				}
				var settle []broker.Settlement
				for len(settle) < batch {
					ds, err := c.Dequeue(b.Context(), []string{"q"}, batch, time.Second)
					if err != nil {
						b.Fatal(err)
					}
					for _, d := range ds {
						settle = append(settle, broker.Settlement{Delivery: d, Outcome: broker.Outcome{
							State: broker.StateSucceeded, Codec: "msgpack", Result: []byte{3}, Name: d.Name, Attempts: d.Attempt,
							Minion: c.ID(), Enqueued: d.Enqueued, Started: d.Enqueued, Finished: d.Enqueued,
						}})
					}
				}
				if _, err := c.Settle(b.Context(), settle); err != nil {
					b.Fatal(err)
				}
				for got := 0; got < batch; {
					mail, err := in.Receive(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					got += len(mail.Notices)
				}
			}
		})
	}
}
