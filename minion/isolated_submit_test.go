package minion_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// An isolated task sends calls through its minion. While it waits, its slot is lent.
func TestIsolatedSubmit(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	if tr, err := y.do(deed{What: "call", N: 1}); err != nil || tr.N != 2 || tr.Text != "false" {
		t.Errorf("result: %+v, %v", tr, err)
	}
	if tr, err := y.do(deed{What: "call", N: -1}); err != nil || tr.Text != "true" {
		t.Errorf("result: %+v, %v", tr, err)
	}
	if tr, err := y.do(deed{What: "pipe", N: 1}); err != nil || tr.Text != "[2 3]" {
		t.Errorf("result: %+v, %v", tr, err)
	}
	began := time.Now()
	spread, err := y.do(deed{What: "spread", N: 7200})
	took := time.Since(began) + 10*time.Millisecond // the broker may round times
	var due []time.Time
	for text := range strings.FieldsSeq(spread.Text) {
		id, err := task.ParseID(text)
		if err != nil {
			t.Fatal(err)
		}
		st, err := y.arb.Status(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		due = append(due, st.Due)
	}
	if err != nil || len(due) != 2 || (due[1].Sub(due[0])-time.Hour).Abs() > took {
		t.Errorf("two calls that are spread over two hours are due at %v, %v", due, err)
	}
	if err := y.arb.SetMaxWaiting(t.Context(), "small", 1); err != nil {
		t.Fatal(err)
	}
	if tr, err := y.do(deed{What: "refused", Text: "key"}); err != nil || tr.N != 1 {
		t.Errorf("result: %+v, %v", tr, err)
	}
	tr, err := y.do(deed{What: "later", N: 5})
	if err != nil || tr.N != 1 {
		t.Fatalf("result: %+v, %v", tr, err)
	}
	id, err := task.ParseID(tr.Text)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range 12_000 { // the task is sent right after the success
		if n, err = task.NewFuture[int](y.arb, id).Result(t.Context()); !errors.Is(err, task.ErrNotFound) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n != 6 || err != nil {
		t.Errorf("result: %v, %v", n, err)
	}
}

// An isolated task that is retried runs the task again for which it waits.
func TestIsolatedRetryRevivesChildren(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.Retry(3, task.Constant(time.Millisecond)))
	if tr, err := y.do(deed{What: "waits", N: failsOnce}); err != nil || tr.N != failsOnce+1 || tr.Text != "2" {
		t.Errorf("result: %+v, %v", tr, err)
	}
}

func TestIsolatedUnknown(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.Retry(3, nil))
	var e *task.RemoteError
	if _, err := strange.Call(t.Context(), y.arb, args{1}); !errors.Is(err, task.ErrUnknownTask) || !errors.As(err, &e) || e.Attempts != 1 {
		t.Error(err)
	}
}

// If the timeout ends while the child starts, the child serves the next attempt.
func TestIsolatedHaste(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	e := y.remote(deed{What: "echo"}, task.Timeout(time.Millisecond/2))
	if !errors.Is(e, task.ErrTimeout) || errors.Is(e, task.ErrCrashed) {
		t.Errorf("error: %+v", e)
	}
	if tr, err := y.do(deed{What: "echo", N: 1}); err != nil || tr.N != 1 {
		t.Errorf("result: %+v, %v", tr, err)
	}
}

// All tasks of the minion can be isolated.
func TestIsolatedAll(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2, minion.Isolated(), minion.Codec(codec.JSON()))
	if tr, err := y.do(deed{What: "call", N: 1}); err != nil || tr.N != 2 {
		t.Errorf("result: %+v, %v", tr, err)
	}
	if _, err := plain.Call(t.Context(), y.arb, args{-1}); !errors.Is(err, errKnown) {
		t.Error(err)
	}
}

// A child can send a complete group: without members it begins at once, and it keeps all
// of its finalizers.
func TestIsolatedEnds(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	if tr, err := y.do(deed{What: "ends", N: 1}); err != nil || tr.Text != "[2 3 4]" {
		t.Errorf("result: %+v, %v", tr, err)
	}
}

// printedID waits for a line of a child that ends in an id.
func (y *yard) printedID(text string) task.ID {
	y.Helper()
	y.printed(text)
	logged := y.logs.String()
	at := indexAfter(logged, `msg="`+text+" ")
	id, err := task.ParseID(logged[at : at+36])
	if err != nil {
		y.Fatal(err)
	}
	return id
}

// If an attempt sends what an earlier attempt has sent in another process, that makes no
// second task.
func TestIsolatedRepeat(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2, minion.Retry(1, task.Constant(0)))
	tr, err := y.do(deed{What: "again", N: 1})
	if err != nil || tr.N != 2 || tr.Text != y.printedID("again").String() {
		t.Errorf("result: %+v, %v", tr, err)
	}
}

func TestIsolatedWait(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	if tr, err := y.do(deed{What: "impatient"}); err != nil || tr.Text != "true" {
		t.Errorf("result: %+v, %v", tr, err)
	}
	if _, err := y.do(deed{What: "stray", Text: "astray"}); err != nil {
		t.Error(err)
	}
	y.printed("astray submit plain: not sent: the task has")
}

func TestIsolatedHeir(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	fut := y.send(deed{What: "heir"})
	heir := y.printedID("heir")
	if v, err := y.arb.Kill(t.Context(), fut.ID(), arbiter.Wait()); v != arbiter.Stopped || err != nil {
		t.Errorf("kill: %v, %v", v, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := task.NewFuture[int](y.arb, heir).Result(ctx); !errors.Is(err, task.ErrCanceled) {
		t.Error(err)
	}
}

// Middleware runs in the minion, around the child.
func TestIsolatedMiddleware(t *testing.T) {
	t.Parallel()
	var saw error
	y := newYard(t, 1, minion.Use(func(next minion.Handler) minion.Handler {
		return func(ctx context.Context) error {
			if info, _ := task.FromContext(ctx); info.Meta["in"] == "haste" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
			}
			saw = next(ctx)
			return saw
		}
	}))
	if _, err := y.do(deed{What: "echo"}); err != nil { // so that a child has started
		t.Fatal(err)
	}
	e := y.remote(deed{What: "obey"}, task.Meta("in", "haste"))
	if !errors.Is(e, context.DeadlineExceeded) || !strings.Contains(e.Message, "cause: context deadline exceeded") {
		t.Errorf("error: %+v", e)
	}
	e = y.remote(deed{What: "exit", N: 4})
	var crash *task.CrashError
	if !errors.As(saw, &crash) || crash.ExitCode != 4 || crash.Signal != "" || crash.Reason != nil || crash.Output != "before the end" {
		t.Errorf("%v, %v", saw, e)
	}
}

// A minion that stops while children start leaves no child behind.
func TestIsolatedStop(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		y := newYard(t, 3, minion.DrainTimeout(0))
		for range 6 {
			y.send(deed{What: "echo"})
		}
		time.Sleep(time.Duration(i) * 2 * time.Millisecond)
		if err := y.stop(); err != nil {
			t.Error(err)
		}
	}
}

// All tasks are isolated and there is one slot: the awaited task gets a child of its own.
func TestIsolatedLends(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.Isolated())
	for i := range 3 {
		if tr, err := y.do(deed{What: "call", N: i}); err != nil || tr.N != i+1 {
			t.Errorf("result: %+v, %v", tr, err)
		}
	}
}
