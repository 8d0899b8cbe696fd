package arbiter_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// family is a task that waits for two children, one of which fails for good at first.
type family struct {
	*testing.T
	b   broker.Broker
	arb *arbiter.Arbiter

	mu   sync.Mutex
	ran  map[int]int // how often each child has run
	fail int         // how often child 1 fails before it succeeds
}

var parentTask = task.Define[args, int]("parent")

func newFamily(t *testing.T, b broker.Broker, fail int, parent func(ctx context.Context, f *family) (int, error)) *family {
	t.Helper()
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arb.Close() })
	f := &family{T: t, b: b, arb: arb, ran: make(map[int]int), fail: fail}
	m := must(minion.New(b, minion.Logger(silent), minion.DrainTimeout(0), minion.Retry(5, task.Constant(time.Millisecond))))
	err = errors.Join(
		task.Handle(m, parentTask, func(ctx context.Context, _ args) (int, error) { return parent(ctx, f) }),
		task.Handle(m, work, func(_ context.Context, a args) (int, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.ran[a.N]++
			if a.N == 1 && f.ran[1] <= f.fail {
				return 0, task.NoRetry(errBad)
			}
			return 10 * a.N, nil
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = m.Run(context.Background(), 2)
	}()
	t.Cleanup(func() {
		_ = m.Close()
		<-stopped
	})
	return f
}

// children sends both children and waits for them.
func (f *family) children(ctx context.Context) (int, error) {
	info, _ := task.FromContext(ctx)
	calls := []task.Call[int]{work.Bind(args{1}), work.Bind(args{2})}
	if err := info.Submit(ctx, task.Calls(calls...)...); err != nil {
		return 0, err
	}
	var sum int
	var errs []error
	for _, c := range calls {
		v, err := task.NewFuture[int](info, c.Request().ID()).Result(ctx)
		sum += v
		errs = append(errs, err)
	}
	return sum, errors.Join(errs...)
}

func (f *family) runs(child, want int) {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ran[child] != want {
		f.Errorf("child %d has run %d times, want %d", child, f.ran[child], want)
	}
}

// A task that is retried because a child has failed for good runs that child again, and keeps the children that have
// succeeded.
func TestRetryRevivesChildren(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		f := newFamily(t, b, 3, func(ctx context.Context, f *family) (int, error) { return f.children(ctx) })
		v, err := parentTask.Call(t.Context(), f.arb, args{})
		if v != 30 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		f.runs(1, 4)
		f.runs(2, 1)
	})
}

// The same for a task that an operator requeues.
func TestRequeueRevivesChildren(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		f := newFamily(t, b, 1, func(ctx context.Context, f *family) (int, error) {
			v, err := f.children(ctx)
			if err != nil {
				err = task.NoRetry(err) // so that the child's failure is also the task's
			}
			return v, err
		})
		fut, err := parentTask.Bind(args{}).Send(t.Context(), f.arb)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fut.Result(t.Context()); err == nil {
			t.Fatal("the task has succeeded with a child that failed")
		}
		f.runs(1, 1)
		if errs, err := b.(broker.Inspector).Requeue(t.Context(), []broker.ID{fut.ID()}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		for st, err := range f.arb.WaitForTasks(t.Context(), fut.ID()) {
			if err != nil || st.State != broker.StateSucceeded {
				t.Errorf("%+v, %v", st, err)
			}
		}
		f.runs(1, 2)
		f.runs(2, 1)
	})
}

// A task that snoozes keeps the failures of its children, since it has not failed.
func TestSnoozeKeepsFailedChildren(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		f := newFamily(t, b, 10, func(ctx context.Context, f *family) (int, error) {
			_, err := f.children(ctx)
			switch info, _ := task.FromContext(ctx); {
			case info.Attempt < 3:
				return 0, task.Snooze(0)
			case info.Attempt == 3:
				return 0, err
			case info.Attempt < 6:
				return 0, task.Snooze(0)
			}
			return 7, nil
		})
		if v, err := parentTask.Call(t.Context(), f.arb, args{}); v != 7 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
		f.runs(1, 2) // the fourth attempt followed a failure
		f.runs(2, 1)
	})
}
