//go:build unix

package e2e

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// patience is the longest time that a test waits for an event. It is long, because on a slow and busy
// machine a step can take a hundred times as long as on a fast and idle one. A test that passes never
// waits for its end.
const patience = 2 * time.Minute

// lease is the lease in tests that do not need the default.
const lease = 2 * time.Second

// rig is the state of a test in its own process.
type rig struct {
	*testing.T
	cfg  config
	logs *logs
	opts []redis.Option
	b    *redis.Broker
	arb  *arbiter.Arbiter
	busy *stall.Watch
}

// newRig opens a broker and an arbiter.
func newRig(t *testing.T, url string, opts ...redis.Option) *rig {
	t.Helper()
	r := &rig{T: t, cfg: config{URL: url, Lease: lease, Slots: 10, Ledger: newLedger(t)}, logs: &logs{}, opts: opts, busy: stall.Start(t)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", r.logs)
		}
	})
	var err error
	if r.b, err = r.cfg.open(t.Context(), r.logs.logger(), opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.b.Close() })
	if r.arb, err = arbiter.New(r.b, arbiter.Logger(r.logs.logger())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.arb.Close() })
	return r
}

// onServer is newRig with a server of its own. The rig is nil if redis-server is not installed.
func onServer(t *testing.T, args ...string) (*rig, *redistest.Server) {
	t.Helper()
	path := redistest.Path(t)
	if path == "" {
		return nil, nil
	}
	s := redistest.Start(t, path, args...)
	return newRig(t, s.URL()), s
}

// minion runs a minion in this process, with its own connections, until the test ends.
func (r *rig) minion(change ...func(*config)) {
	r.Helper()
	c := r.cfg
	for _, f := range change {
		f(&c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- c.serve(ctx, r.logs.logger(), func() { close(ready) }, r.opts...) }()
	select {
	case <-ready:
	case err := <-ended:
		r.Fatalf("minion: %v", err)
	}
	r.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, minion.ErrAbandoned) && !errors.Is(err, broker.ErrUnavailable) {
			r.Errorf("minion: %v", err)
		}
	})
}

// process runs a minion in a process of its own. It returns when the minion is about to run.
func (r *rig) process(change ...func(*config)) *proc.Process {
	r.Helper()
	c := r.cfg
	for _, f := range change {
		f(&c)
	}
	p := proc.Start(r, "minion", c)
	p.WaitFor(r, "ready\n")
	return p
}

// workers waits until n minions are listed.
func (r *rig) workers(n int) {
	r.Helper()
	r.eventually("all minions are listed", func() bool {
		all, err := r.arb.Minions(r.Context())
		return err == nil && len(all) == n
	})
}

// send sends n tasks with the same arguments, except for N.
func (r *rig) send(n int, a args, opts ...task.Option) []*task.Future[answer] {
	r.Helper()
	calls := make([]task.Call[answer], n)
	for i := range calls {
		a.N = i
		calls[i] = work.With(opts...).Bind(a)
	}
	futs, err := task.SendAll(r.Context(), r.arb, calls...)
	if err != nil {
		r.Fatal(err)
	}
	return futs
}

// results waits until all tasks have succeeded. It checks their results, and that no retry was
// used.
func (r *rig) results(futs []*task.Future[answer]) []answer {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	out := make([]answer, len(futs))
	for i, f := range futs {
		a, err := f.Result(ctx)
		if err != nil {
			r.Fatalf("task %d of %d: %v", i, len(futs), err)
		}
		if a.N != i {
			r.Errorf("task %d returned %+v", i, a)
		}
		out[i] = a
		st, err := r.arb.Status(ctx, f.ID())
		for errors.Is(err, broker.ErrUnavailable) && ctx.Err() == nil { // Status does not try again by itself
			st, err = r.arb.Status(ctx, f.ID())
		}
		if err != nil {
			r.Errorf("status of task %d: %v", i, err)
			continue
		}
		if st.State != broker.StateSucceeded || st.Retried != 0 || st.Attempts != a.Attempt {
			r.Errorf("task %d is %s after attempt %d with %d retries, and returned %+v", i, st.State, st.Attempts, st.Retried, a)
		}
	}
	return out
}

// eventually waits until is returns true. what describes the expected state.
func (r *rig) eventually(what string, is func() bool) {
	r.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("this has not happened in time: %s", what)
		}
	}
}

// started waits until n attempts were started.
func (r *rig) started(n int) {
	r.Helper()
	r.eventually("enough attempts have started", func() bool { return r.cfg.Ledger.starts(r, 0) >= n })
}

// logs holds the log of this process.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// namespace returns a namespace for the test alone.
func namespace(t testing.TB) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, t.Name())
}
