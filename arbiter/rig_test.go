package arbiter_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func TestMain(m *testing.M) {
	testform.Parallel(8 * runtime.GOMAXPROCS(0)) // the parallel tests mostly wait for time to pass
	goleak.VerifyTestMain(m)
}

type args struct {
	N int `arbiter:"n"`
}

var (
	work   = task.Define[args, int]("work")
	errBad = errors.New("bad")
	silent = slog.New(slog.DiscardHandler)
)

// rig is a broker and an arbiter in a bubble of fake time.
type rig struct {
	*testing.T
	b   *faulty.Broker
	arb *arbiter.Arbiter
}

func bubble(t *testing.T, f func(t *testing.T, r *rig), opts ...memory.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, b: faulty.New(memory.New(opts...))}
		r.arb = r.arbiter()
		defer func() { _ = r.b.Close() }()
		f(t, r)
	})
}

// arbiter returns another arbiter, which is closed at the end of the bubble.
func (r *rig) arbiter(opts ...arbiter.Option) *arbiter.Arbiter {
	r.Helper()
	arb, err := arbiter.New(r.b, append([]arbiter.Option{arbiter.Logger(silent)}, opts...)...)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = arb.Close() })
	return arb
}

// crew starts a minion with a handler for work. It is stopped at the end of the bubble.
func (r *rig) crew(slots int, fn func(context.Context, args) (int, error), opts ...minion.Option) *minion.Minion {
	r.Helper()
	m := must(minion.New(r.b, append([]minion.Option{minion.Logger(silent), minion.DrainTimeout(0)}, opts...)...))
	if err := task.Handle(m, work, fn); err != nil {
		r.Fatal(err)
	}
	go func() {
		if err := m.Run(context.Background(), slots); err != nil && !errors.Is(err, task.ErrClosed) && !errors.Is(err, minion.ErrAbandoned) {
			r.Errorf("run: %v", err)
		}
	}()
	r.Cleanup(func() { _ = m.Close() })
	return m
}

func (r *rig) send(n int, opts ...task.Option) *task.Future[int] {
	r.Helper()
	fut, err := work.With(opts...).Apply(r.Context(), r.arb, args{n})
	if err != nil {
		r.Fatal(err)
	}
	return fut
}

// The handlers.

func echo(_ context.Context, a args) (int, error) { return a.N, nil }

// slow takes as many seconds as its argument.
func slow(ctx context.Context, a args) (int, error) {
	select {
	case <-time.After(time.Duration(a.N) * time.Second):
		return a.N, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// moody fails for 0, and succeeds for all others.
func moody(_ context.Context, a args) (int, error) {
	if a.N == 0 {
		return 0, task.NoRetry(errBad)
	}
	return a.N, nil
}

// near checks that the time since began is about want, by the clock of the bubble.
func (r *rig) near(what string, began time.Time, want, slack time.Duration) {
	r.Helper()
	if d := time.Since(began); d < want || d > want+slack {
		r.Errorf("%s after %v, want %v", what, d, want)
	}
}

// must returns a minion that was made with valid options.
func must(m *minion.Minion, err error) *minion.Minion {
	if err != nil {
		panic(err)
	}
	return m
}
