package minion_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

// untilStart are the options of a task that frees its key when it starts.
func untilStart(more ...task.Option) []task.Option {
	return append([]task.Option{task.Unique("k"), task.UniqueUntilStart()}, more...)
}

// The key is free before the handler runs: a call that the handler sends itself is accepted, and
// runs afterwards.
func TestStartFreesTheKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var again *task.Future[int]
		first := r.send(1, untilStart()...)
		_, err := work.With(untilStart()...).Apply(t.Context(), r.arb, args{2})
		if !errors.Is(err, task.ErrDuplicate) {
			t.Errorf("a second call while the first waits: %v", err)
		}
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if a.N == 1 {
				again = r.send(3, untilStart()...)
			}
			return a.N, nil
		})
		if n, err := r.result(first); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if n, err := r.result(again); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	})
}

// Tasks without the option make no request at their start, whatever else their key has.
func TestStartWithoutTheOption(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var asked atomic.Int32
		r.b.Set(faulty.Hooks{After: func(op faulty.Op, _ int) error {
			if op == faulty.StartKey {
				asked.Add(1)
			}
			return nil
		}})
		r.crew(1, func(_ context.Context, a args) (int, error) { return a.N, nil })
		for i, opts := range [][]task.Option{
			nil, {task.Unique("a")}, {task.UniqueArgs()}, {task.Unique("b"), task.UniqueFor(time.Hour)},
			{task.Unique("c"), task.OnConflict(task.ConflictReplace)}, untilStart(task.UniqueUntilDone()),
		} {
			if n, err := r.result(r.send(i, opts...)); n != i || err != nil {
				t.Error(n, err)
			}
		}
		if asked.Load() != 0 {
			t.Errorf("%d requests at the start, want 0", asked.Load())
		}
		if _, err := r.result(r.send(0, untilStart()...)); err != nil || asked.Load() != 1 {
			t.Errorf("%d requests at the start of a task with the option, want 1; %v", asked.Load(), err)
		}
	})
}

// A task that was replaced while its minion had not started it does not start. The one that has
// replaced it runs.
func TestReplacedBeforeTheStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var by *task.Future[int]
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.StartKey && by == nil {
				by = r.send(2, untilStart(task.OnConflict(task.ConflictReplace))...)
			}
			return nil
		}})
		var ran []int
		r.crew(1, func(_ context.Context, a args) (int, error) {
			ran = append(ran, a.N)
			return a.N, nil
		})
		old := r.send(1, untilStart()...)
		if _, err := r.result(old); !errors.Is(err, task.ErrCanceled) {
			t.Errorf("the result of the replaced task is the error %v, want ErrCanceled", err)
		}
		if n, err := r.result(by); n != 2 || err != nil {
			t.Error(n, err)
		}
		if !slices.Equal(ran, []int{2}) {
			t.Errorf("the tasks %v ran, want 2", ran)
		}
		if st := r.status(old.ID()); st.Attempts != 0 {
			t.Errorf("the replaced task has %d attempts, want 0", st.Attempts)
		}
	})
}

// The minion repeats the request until it is answered, and the task runs once. If only the reply
// was lost, that changes nothing.
func TestStartWithFaults(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost reply %v", lost), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var tries, runs atomic.Int32
				fail := func(op faulty.Op) error {
					if op == faulty.StartKey && tries.Add(1) <= 3 {
						if lost {
							return broker.ErrIndeterminate
						}
						return broker.ErrUnavailable
					}
					return nil
				}
				hooks := faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error { return fail(op) }}
				if lost {
					hooks = faulty.Hooks{After: func(op faulty.Op, _ int) error { return fail(op) }}
				}
				r.b.Set(hooks)
				r.crew(1, func(_ context.Context, a args) (int, error) {
					runs.Add(1)
					return a.N, nil
				})
				if n, err := r.result(r.send(7, untilStart()...)); n != 7 || err != nil {
					t.Error(n, err)
				}
				if tries.Load() != 4 || runs.Load() != 1 {
					t.Errorf("%d requests and %d runs, want 4 and 1", tries.Load(), runs.Load())
				}
			})
		})
	}
}

// A minion that does not own the task any more does not start it, and settles nothing.
func TestStartOfALostTask(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var tries atomic.Int32
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.StartKey && tries.Add(1) == 1 {
				return broker.ErrLeaseLost
			}
			return nil
		}})
		var ran atomic.Int32
		c := r.crew(1, func(_ context.Context, a args) (int, error) {
			ran.Add(1)
			return a.N, nil
		})
		fut := r.send(1, untilStart()...)
		time.Sleep(time.Minute)
		if tries.Load() != 1 || ran.Load() != 0 {
			t.Errorf("%d requests and %d runs, want 1 and 0", tries.Load(), ran.Load())
		}
		if r.logs.count("does not own it any more") != 1 {
			t.Errorf("logged:\n%s", r.logs)
		}
		// It goes back when the minion closes, and another one runs it.
		_ = c.stop()
		r.crew(1, func(_ context.Context, a args) (int, error) {
			ran.Add(1)
			return a.N, nil
		})
		if n, err := r.result(fut); n != 1 || err != nil || ran.Load() != 1 {
			t.Error(n, err, ran.Load())
		}
	})
}

// A task that is cancelled, or whose deadline passes, while the minion asks does not start.
func TestEndWhileTheStartIsAsked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var during func()
		r.b.Set(faulty.Hooks{After: func(op faulty.Op, _ int) error {
			if op == faulty.StartKey && during != nil {
				during()
			}
			return nil
		}})
		var ran atomic.Int32
		r.crew(1, func(_ context.Context, a args) (int, error) {
			ran.Add(1)
			return a.N, nil
		})
		let := make(chan task.ID, 1)
		during = func() {
			if _, err := r.arb.Kill(context.Background(), <-let); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second) // until the minion has heard of it
		}
		fut := r.send(1, untilStart()...)
		let <- fut.ID()
		if _, err := r.result(fut); !errors.Is(err, task.ErrCanceled) {
			t.Errorf("a task that was cancelled: %v", err)
		}
		during = func() { time.Sleep(2 * time.Hour) }
		fut = r.send(2, untilStart(task.Within(time.Hour))...)
		if _, err := r.result(fut); !errors.Is(err, task.ErrExpired) {
			t.Errorf("a task whose deadline has passed: %v", err)
		}
		if ran.Load() != 0 {
			t.Errorf("%d of the tasks ran, want none", ran.Load())
		}
		during = nil
		if n, err := r.result(r.send(3, untilStart()...)); n != 3 || err != nil {
			t.Error(n, err)
		}
	})
}
