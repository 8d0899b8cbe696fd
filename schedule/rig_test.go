package schedule_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/schedule"
	"github.com/go-arbiter/arbiter/task"
)

// rig is a broker with a minion that notes for which ticks it runs tasks.
type rig struct {
	testing.TB
	b    broker.Broker
	open func() broker.Broker // another client of the store
	s    *schedule.Scheduler

	mu   sync.Mutex
	runs []noted
	hold chan struct{} // the handlers wait until it is closed; nil if they do not wait
}

// noted is one start of a handler.
type noted struct {
	schedule.Tick
	at  time.Time
	arg string
}

// quiet is a lease that lasts for a year in a bubble without heartbeats.
const quiet = 2 * 365 * 24 * time.Hour

// bubble runs body on a broker in memory, in a bubble.
func bubble(t *testing.T, body func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Lease(quiet))
		defer func() { _ = b.Close() }()
		body(newRig(t, b, func() broker.Broker { return b }))
	})
}

// onEach runs body on a broker in memory, on miniredis and on a Redis server, in real time.
func onEach(t *testing.T, body func(r *rig)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := memory.New()
		t.Cleanup(func() { _ = b.Close() })
		body(newRig(t, b, func() broker.Broker { return b }))
	})
	path := redistest.Path(t)
	if path == "" || testform.Long() {
		t.Run("miniredis", func(t *testing.T) {
			t.Parallel()
			onRedis(t, "redis://"+miniredis.RunT(t).Addr(), body)
		})
	}
	if path != "" {
		t.Run("redis-server", func(t *testing.T) {
			t.Parallel()
			onRedis(t, redistest.Start(t, path).URL(), body)
		})
	}
}

func onRedis(t *testing.T, url string, body func(r *rig)) {
	t.Helper()
	open := func() broker.Broker {
		b, err := redis.Open(context.Background(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	body(newRig(t, open(), open))
}

func newRig(t testing.TB, b broker.Broker, open func() broker.Broker) *rig {
	t.Helper()
	r := &rig{TB: t, b: b, open: open}
	r.s = r.scheduler(b)
	return r
}

func (r *rig) scheduler(b broker.Broker, opts ...schedule.Option) *schedule.Scheduler {
	r.Helper()
	opts = append([]schedule.Option{schedule.Logger(slog.New(slog.DiscardHandler))}, opts...)
	s, err := schedule.New(b, opts...)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// work starts a minion. It is closed when the returned function is called.
func (r *rig) work(opts ...minion.Option) (end func()) {
	r.Helper()
	opts = append([]minion.Option{minion.Logger(slog.New(slog.DiscardHandler))}, opts...)
	m, err := minion.New(r.b, opts...)
	if err != nil {
		r.Fatal(err)
	}
	if err := task.HandleFunc(m, "job", r.handle); err != nil {
		r.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(context.Background(), 20) }()
	return func() { _ = m.Close(); <-done }
}

// take takes and settles tasks without a minion, whose polls would be most of the work of a year.
func (r *rig) take() (end func()) {
	r.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	queues := []string{task.DefaultQueue}
	c, err := r.b.Consume(ctx, broker.ConsumerConfig{Queues: queues, Slots: 100})
	r.must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			got, _ := c.Dequeue(ctx, queues, 100, quiet)
			var batch []broker.Settlement
			for _, d := range got {
				tick, _ := schedule.FromMeta(d.Meta)
				r.mu.Lock()
				r.runs = append(r.runs, noted{tick, time.Now(), ""})
				r.mu.Unlock()
				batch = append(batch, broker.Settlement{Delivery: d, Outcome: broker.Outcome{State: broker.StateSucceeded, Name: d.Name, Attempts: d.Attempt, Minion: c.ID()}})
			}
			if _, err := c.Settle(ctx, batch); err != nil && ctx.Err() == nil {
				r.Error(err)
			}
		}
		_ = c.Close(context.Background())
	}()
	return func() { cancel(); <-done }
}

// long is how long a task with this word as its argument runs.
const long = 2500 * time.Millisecond

func (r *rig) handle(ctx context.Context, args arguments) (any, error) {
	tick, ok := schedule.FromContext(ctx)
	if !ok || !tick.Nominal.Equal(schedule.Nominal(ctx)) {
		return nil, task.NoRetry(fmt.Errorf("there is no tick"))
	}
	arg := ""
	if len(args.Positional) > 0 {
		arg = fmt.Sprint(args.Positional[0])
	}
	r.mu.Lock()
	r.runs = append(r.runs, noted{tick, time.Now(), arg})
	hold := r.hold
	r.mu.Unlock()
	if arg == "fail" {
		return nil, task.NoRetry(fmt.Errorf("the job fails"))
	}
	if arg == "long" {
		timer := time.NewTimer(long)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, nil
}

// run runs the schedules in a process of their own. The process ends when the returned function is called.
func (r *rig) run(s *schedule.Scheduler) (end func()) {
	r.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	return func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.Errorf("Run: %v", err)
			}
		})
	}
}

// noted returns the starts so far of a schedule, in the order of their nominal times.
func (r *rig) noted(name string) []noted {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []noted
	for _, n := range r.runs {
		if n.Schedule == name {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b noted) int { return a.Nominal.Compare(b.Nominal) })
	return out
}

// until waits until is returns true.
func (r *rig) until(what string, is func() bool) {
	r.Helper()
	for start := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			r.Fatalf("this has not happened: %s", what)
		}
	}
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// job returns a definition of a task that the minion of the rig runs.
func job(name string, when schedule.When, args ...any) schedule.Definition {
	return schedule.Definition{Name: name, When: when, Call: task.Named("job", task.Args(args...))}
}
