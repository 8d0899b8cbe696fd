package minion_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func TestKillRunning(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cause error
		var left time.Time
		r.crew(1, func(ctx context.Context, _ args) (int, error) {
			defer func() { cause, left = context.Cause(ctx), time.Now() }()
			return 0, obey(ctx)
		})
		fut := r.send(1)
		time.Sleep(time.Minute)
		began := time.Now()
		verdict, err := r.arb.Kill(t.Context(), fut.ID(), arbiter.Wait())
		if verdict != arbiter.Stopped || err != nil {
			t.Errorf("kill: %q, %v", verdict, err)
		}
		if !errors.Is(cause, task.ErrCanceled) {
			t.Errorf("the cause was %v", cause)
		}
		if d := left.Sub(began); d > time.Second {
			t.Errorf("the handler was told after %v", d)
		}
		if _, err := r.result(fut); !errors.Is(err, task.ErrCanceled) || !strings.Contains(err.Error(), "work") {
			t.Errorf("result: %v", err)
		}
		r.want(fut, broker.StateCanceled, 1, 0)
	})
}

// A handler that returns no error has succeeded, although the task was killed.
func TestKillTooLate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(ctx context.Context, a args) (int, error) {
			<-ctx.Done()
			return a.N, nil
		})
		fut := r.send(7)
		time.Sleep(time.Second)
		verdict, err := r.arb.Kill(t.Context(), fut.ID(), arbiter.Wait())
		if verdict != arbiter.TooLate || err != nil {
			t.Errorf("kill: %q, %v", verdict, err)
		}
		if n, err := r.result(fut); n != 7 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
	})
}

// A task that was killed and fails before the minion is told of the kill is not retried.
func TestKillThenFail(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := 0
		r.crew(1, func(_ context.Context, _ args) (int, error) {
			n++
			time.Sleep(time.Minute)
			return 0, errBad
		}, minion.Retry(9, task.Constant(0)))
		fut := r.send(1)
		time.Sleep(time.Second)
		if verdict, err := r.arb.Kill(t.Context(), fut.ID()); verdict != arbiter.Stopping || err != nil {
			t.Errorf("kill: %q, %v", verdict, err)
		}
		r.want(fut, broker.StateCanceled, 1, 0)
		if n != 1 {
			t.Errorf("it ran %d times", n)
		}
	})
}

func TestTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var causes []error
		r.crew(1, func(ctx context.Context, _ args) (int, error) {
			err := obey(ctx)
			causes = append(causes, context.Cause(ctx))
			return 0, err
		}, minion.Retry(1, task.Constant(time.Minute)))
		began := time.Now()
		fut := r.send(1, task.Timeout(10*time.Second))
		_, err := r.result(fut)
		var remote *task.RemoteError
		if !errors.As(err, &remote) || !errors.Is(err, task.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "timeout") || !strings.Contains(err.Error(), "10s") {
			t.Errorf("result: %v", err)
		}
		r.want(fut, broker.StateFailed, 2, 1)
		r.near("the end", time.Since(began), 80*time.Second)
		for _, cause := range causes {
			if !errors.Is(cause, task.ErrTimeout) {
				t.Errorf("the cause was %v", cause)
			}
		}
	})
}

// A call without a timeout has the timeout of the handler's registration.
func TestTimeoutOfRegistration(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(r.logs.logger()), minion.Retry(0, nil)))
		err := task.Handle(m, work.With(task.Timeout(time.Minute)), func(ctx context.Context, _ args) (int, error) {
			return 0, obey(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		r.start(m, 1)
		began := time.Now()
		if _, err := r.result(r.send(1)); !errors.Is(err, task.ErrTimeout) {
			t.Errorf("result: %v", err)
		}
		r.near("the end", time.Since(began), time.Minute)
	})
}

func TestDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cause error
		runs := 0
		r.crew(1, func(ctx context.Context, a args) (int, error) {
			runs++
			if a.N == 1 {
				time.Sleep(time.Minute)
				return 0, nil
			}
			err := obey(ctx)
			cause = context.Cause(ctx)
			return 0, err
		})
		began := time.Now()
		running := r.send(2, task.Within(10*time.Second), task.Timeout(time.Minute))
		if _, err := r.result(running); !errors.Is(err, task.ErrExpired) {
			t.Errorf("result: %v", err)
		}
		r.near("the end", time.Since(began), 10*time.Second)
		if !errors.Is(cause, task.ErrExpired) {
			t.Errorf("the cause was %v", cause)
		}
		r.want(running, broker.StateExpired, 1, 0)

		busy := r.send(1) // occupies the slot
		synctest.Wait()
		began = time.Now()
		waiting := r.send(2, task.Within(10*time.Second))
		if _, err := r.result(waiting); !errors.Is(err, task.ErrExpired) {
			t.Errorf("result: %v", err)
		}
		r.near("the end", time.Since(began), 10*time.Second)
		if _, err := r.result(busy); err != nil {
			t.Errorf("result: %v", err)
		}
		if runs != 2 {
			t.Errorf("%d runs: a task ran after its deadline", runs)
		}
	})
}

// A handler that returns no error has succeeded, although its timeout is over.
func TestSuccessInSpite(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(2, func(ctx context.Context, a args) (int, error) {
			<-ctx.Done()
			return a.N, nil
		})
		for _, opt := range []task.Option{task.Timeout(time.Second), task.Within(time.Second)} {
			if n, err := r.result(r.send(5, opt)); n != 5 || err != nil {
				t.Errorf("result: %d, %v", n, err)
			}
		}
	})
}

// unset returns the names of the fields of an Info that are zero.
func unset(info task.Info) (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[task.Info]()) {
		if reflect.ValueOf(info).FieldByIndex(f.Index).IsZero() {
			names = append(names, f.Name)
		}
	}
	return names
}

// unsetAtFirst are the fields of an Info that are zero in the first attempt at a task. A field that only some tasks
// have is not among them: the tests of the Info send a task that has it.
var unsetAtFirst = []string{"Retried", "Recoveries"}

// The context of a handler has the Info of its attempt.
func TestInfo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var got task.Info
		var value any
		type key struct{}
		m := must(minion.New(r.b, minion.Queue("other"), minion.Logger(r.logs.logger())))
		err := task.Handle(m, work, func(ctx context.Context, _ args) (int, error) {
			got, _ = task.FromContext(ctx)
			value = ctx.Value(key{})
			return 0, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "v"))
		done := make(chan error)
		go func() { done <- m.Run(ctx, 1) }()
		fut := r.send(1, task.Queue("other"), task.Meta("a", "b"), task.Retries(7))
		if _, err := r.result(fut); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got.ID != fut.ID() || got.Name != "work" || got.Queue != "other" || got.Attempt != 1 || got.MaxRetries != 7 ||
			got.Meta["a"] != "b" || got.Enqueued.IsZero() || got.Submitter == nil {
			t.Errorf("info: %+v", got)
		}
		if unset := unset(got); !slices.Equal(unset, unsetAtFirst) {
			t.Errorf("the handler finds no value of %v in its Info, want none of %v only: see attempt.about", unset, unsetAtFirst)
		}
		if value != "v" {
			t.Errorf("the value of Run's context: %v", value)
		}
		if err := got.Submitter.Submit(t.Context(), work.Bind(args{1})); !errors.Is(err, task.ErrClosed) {
			t.Errorf("submit after the minion has stopped: %v", err)
		}
	})
}

// A handler sends a task and waits for it. The task has the handler's task as its parent.
func TestTaskWithinTask(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(2, func(ctx context.Context, a args) (int, error) {
			if a.N == 0 {
				return 40, task.NoRetry(errBad)
			}
			info, _ := task.FromContext(ctx)
			_, err := work.Call(ctx, info.Submitter, args{0})
			if !errors.As(err, new(*task.RemoteError)) {
				t.Errorf("the task within: %v", err)
			}
			return a.N, nil
		})
		fut := r.send(2)
		if n, err := r.result(fut); n != 2 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		letters := r.dead("default")
		if len(letters) != 1 || letters[0].Task.Parent != fut.ID() {
			t.Errorf("dead letters %+v, want one with parent %s", letters, fut.ID())
		}
	})
}
