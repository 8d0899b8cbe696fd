//go:build unix

package e2e

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// pickups measures the time from the call that sends a task until its handler starts. The minion is
// idle before each task.
func pickups(tb testing.TB, url string, queues []string, next func() bool) []time.Duration {
	tb.Helper()
	silent := slog.New(slog.DiscardHandler)
	open := func() *redis.Broker {
		b, err := redis.Open(tb.Context(), url, redis.Logger(silent))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = b.Close() })
		return b
	}
	type nothing struct{}
	ping := task.Define[nothing, nothing]("ping", task.Queue(queues[len(queues)-1]))
	started := make(chan time.Time, 1)
	m, err := minion.New(open(), minion.Queues(queues...), minion.Logger(silent))
	if err != nil {
		tb.Fatal(err)
	}
	err = task.Handle(m, ping, func(context.Context, nothing) (nothing, error) {
		started <- time.Now()
		return nothing{}, nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), 3) }()
	tb.Cleanup(func() { _ = m.Close() })
	arb, err := arbiter.New(open(), arbiter.Logger(silent))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = arb.Close() })
	var all []time.Duration
	for first := true; first || next(); first = false {
		began := time.Now()
		fut, err := ping.Apply(tb.Context(), arb, nothing{})
		if err != nil {
			tb.Fatal(err)
		}
		if at := <-started; !first { // the first task opens connections
			all = append(all, at.Sub(began))
		}
		if _, err := fut.Result(tb.Context()); err != nil {
			tb.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // until the minion is idle again
	}
	return all
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

var pickupQueues = map[string][]string{"one queue": {"a"}, "three queues": {"b", "c", "d"}}

// A new task wakes an idle minion. The machine may be slow or busy, so the bound is generous; the
// benchmark has exact figures.
func TestPickup(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s, busy := redistest.Start(t, path), stall.Start(t)
	for name, queues := range pickupQueues {
		n := 0
		all := pickups(t, s.URL(), queues, func() bool { n++; return n <= 100 })
		m := median(all)
		t.Logf("%s: median %v", name, m)
		if most := busy.Late(20 * time.Millisecond); m > most {
			t.Errorf("the median time until a task starts is more than %v", most)
		}
	}
}

func BenchmarkPickup(b *testing.B) {
	path := redistest.Path(b)
	if path == "" {
		return
	}
	s := redistest.Start(b, path)
	for name, queues := range pickupQueues {
		b.Run(name, func(b *testing.B) {
			all := pickups(b, s.URL(), queues, b.Loop)
			slices.Sort(all)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		})
	}
}
