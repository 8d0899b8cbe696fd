package redis_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// These benchmarks measure the scripts on a real server, together with the work of the client.
// Figures are per task.

func benchBroker(b *testing.B) *redis.Broker {
	br, _ := benchServer(b)
	return br
}

// benchServer returns a broker and the address of its server.
func benchServer(b *testing.B) (*redis.Broker, string) {
	path := redistest.Path(b)
	if path == "" {
		b.FailNow() // Path has said why
	}
	addr := redistest.Start(b, path).Addr
	br, err := redis.Open(b.Context(), "redis://"+addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = br.Close() })
	return br, addr
}

// serverTime returns how many ns the server has spent in scripts.
func serverTime(b *testing.B, addr string) (ns int64) {
	b.Helper()
	raw := goredis.NewClient(&goredis.Options{Addr: addr})
	defer func() { _ = raw.Close() }()
	info, err := raw.Info(b.Context(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if rest, is := strings.CutPrefix(line, "cmdstat_evalsha:"); is {
			for field := range strings.SplitSeq(rest, ",") {
				if us, is := strings.CutPrefix(field, "usec="); is {
					n, _ := strconv.ParseInt(us, 10, 64)
					ns += n * 1000
				}
			}
		}
	}
	return ns
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

// BenchmarkDrain measures how fast a queue hands out tasks that wait, and settles them, in batches
// of 100. server-ns/op is the time of the server alone.
func BenchmarkDrain(b *testing.B) {
	shared := []broker.Charge{{Limit: "shared", Cost: 1}}
	for _, bb := range []struct {
		name string
		lane func(i int) *broker.Lane
	}{
		{"plain", func(int) *broker.Lane { return nil }},
		{"one key", func(int) *broker.Lane { return &broker.Lane{Key: "k", Limits: shared} }},
		{"1000 keys", func(i int) *broker.Lane { return &broker.Lane{Key: strconv.Itoa(i % 1000), Limits: shared} }},
		{"a key each", func(i int) *broker.Lane { return &broker.Lane{Key: strconv.Itoa(i), Limits: shared} }},
		{"exhausted", func(i int) *broker.Lane {
			return &broker.Lane{Key: strconv.Itoa(i % 1000), Limits: []broker.Charge{{Limit: "few", Cost: 1}}}
		}},
		{"1000 limits", func(i int) *broker.Lane {
			key := strconv.Itoa(i % 1000)
			return &broker.Lane{Key: key, Limits: []broker.Charge{{Limit: "each", Key: key, Cost: 1}}}
		}},
		{"1000 rates", func(i int) *broker.Lane {
			key := strconv.Itoa(i % 1000)
			return &broker.Lane{Key: key, Limits: []broker.Charge{{Limit: "rate", Key: key, Cost: 1}}}
		}},
		{"1000 sequences", func(i int) *broker.Lane { return &broker.Lane{Sequence: strconv.Itoa(i % 1000)} }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			const batch = 100
			br, addr := benchServer(b)
			ctx := b.Context()
			for _, l := range []broker.Limit{
				{Name: "shared", Most: 1000}, {Name: "few", Most: batch}, {Name: "each", Most: 10}, {Name: "rate", Rate: 1000, Per: time.Second, Burst: 1000},
			} {
				if err := br.SetLimit(ctx, "q", l); err != nil {
					b.Fatal(err)
				}
			}
			c, err := br.Consume(ctx, broker.ConsumerConfig{Queues: []string{"q"}, Slots: batch})
			if err != nil {
				b.Fatal(err)
			}
			for n := 0; n < b.N; n += 1000 {
				tasks := benchTasks(min(1000, b.N-n), broker.ID{})
				for i, t := range tasks {
					t.Lane = bb.lane(n + i)
				}
				if err := br.Enqueue(ctx, tasks); err != nil {
					b.Fatal(err)
				}
			}
			before := serverTime(b, addr)
			b.ResetTimer()
			for n := 0; n < b.N; {
				ds, err := c.Dequeue(ctx, []string{"q"}, batch, time.Second)
				if err != nil {
					b.Fatal(err)
				}
				settle := make([]broker.Settlement, len(ds))
				for i, d := range ds {
					settle[i] = broker.Settlement{Delivery: d, Outcome: broker.Outcome{State: broker.StateSucceeded, Name: d.Name, Attempts: d.Attempt}}
				}
				if _, err := c.Settle(ctx, settle); err != nil {
					b.Fatal(err)
				}
				n += len(ds)
			}
			b.StopTimer()
			b.ReportMetric(float64(serverTime(b, addr)-before)/float64(b.N), "server-ns/op")
		})
	}
}
