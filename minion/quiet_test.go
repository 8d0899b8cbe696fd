package minion_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// onBrokers runs a test on a memory broker, on miniredis and on a real server, all of which
// log to l.
func onBrokers(t *testing.T, body func(t *testing.T, b broker.Broker, l *logs)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := memory.New()
		defer func() { _ = b.Close() }()
		body(t, b, &logs{})
	})
	onRedis := func(t *testing.T, addr string) {
		l := &logs{}
		b, err := redis.Open(t.Context(), "redis://"+addr, redis.Logger(l.logger()), redis.Lease(2*time.Second)) // a busy machine may delay a heartbeat, which would be worth a warning
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()
		body(t, b, l)
	}
	path := redistest.Path(t)
	if path == "" || testform.Long() { // the short form needs one of the two
		t.Run("miniredis", func(t *testing.T) {
			t.Parallel()
			onRedis(t, miniredis.RunT(t).Addr())
		})
	}
	if path != "" {
		t.Run("redis-server", func(t *testing.T) {
			t.Parallel()
			onRedis(t, redistest.Start(t, path).Addr)
		})
	}
}

// Stopping a minion logs no warning, however little time it has and whatever it
// interrupts: the start, a heartbeat, running tasks.
func TestEndsQuietly(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	passed, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	ends := map[string]func(m *minion.Minion, halt context.CancelFunc) error{
		"stop":                         func(m *minion.Minion, _ context.CancelFunc) error { return m.Stop(context.Background()) },
		"stop without time":            func(m *minion.Minion, _ context.CancelFunc) error { return m.Stop(over) },
		"stop after its deadline":      func(m *minion.Minion, _ context.CancelFunc) error { return m.Stop(passed) },
		"close":                        func(m *minion.Minion, _ context.CancelFunc) error { return m.Close() },
		"the end of the run's context": func(_ *minion.Minion, halt context.CancelFunc) error { halt(); return nil },
	}
	onBrokers(t, func(t *testing.T, b broker.Broker, l *logs) {
		arb, err := arbiter.New(b, arbiter.Logger(l.logger()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		for how, end := range ends {
			for _, busy := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, busy %v", how, busy), func(t *testing.T) {
					for i := range 12 {
						m := must(minion.New(b, minion.Logger(l.logger()), minion.DrainTimeout(time.Millisecond)))
						began := make(chan struct{}, 1)
						handle := func(ctx context.Context, _ args) (int, error) {
							select {
							case began <- struct{}{}:
							default:
							}
							return 0, obey(ctx)
						}
						if err := task.Handle(m, work, handle); err != nil {
							t.Fatal(err)
						}
						ctx, halt := context.WithCancel(context.Background())
						defer halt()
						done := make(chan error, 1)
						go func() { done <- m.Run(ctx, 2) }()
						if busy {
							if _, err := work.Apply(ctx, arb, args{i}); err != nil {
								t.Fatal(err)
							}
							<-began
						}
						time.Sleep(time.Duration(i) * time.Millisecond) // each round stops at another point
						if err := end(m, halt); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
						if err := <-done; err != nil && !errors.Is(err, task.ErrClosed) {
							t.Error(err)
						}
					}
					noWarnings(t, l)
				})
			}
		}
		t.Run("the run's context", func(t *testing.T) {
			for i := range 40 { // first before Run, then while it starts
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i-10)*time.Millisecond/4)
				m := must(minion.New(b, minion.Logger(l.logger())))
				if err := task.Handle(m, work, nothing); err != nil {
					t.Fatal(err)
				}
				if err := m.Run(ctx, 2); err != nil {
					t.Error(err)
				}
				cancel()
			}
			noWarnings(t, l)
		})
	})
}

// noWarnings checks that no warning was logged, and clears the log.
func noWarnings(t *testing.T, l *logs) {
	t.Helper()
	for line := range strings.Lines(l.take()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Error(line)
		}
	}
}

// take returns the log, and clears it.
func (l *logs) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	l.text.Reset()
	return text
}
