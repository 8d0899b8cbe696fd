package minion_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// codeError is an error of a type of its own.
type codeError struct{ code int }

func (e *codeError) Error() string { return fmt.Sprint("code ", e.code) }

// brokenVerdict is a verdict whose methods panic.
type brokenVerdict struct{}

func (brokenVerdict) Error() string { panic("no text") }
func (brokenVerdict) As(any) bool   { panic("no type") }

// Rules of the task and of the minion decide what follows an error, a panic or a timeout.
func TestErrorRules(t *testing.T) {
	bad := func(context.Context) error { return fmt.Errorf("wrapped: %w", errBad) }
	code := func(context.Context) error { return fmt.Errorf("wrapped: %w", &codeError{404}) }
	thrown := func(context.Context) error { panic("oops") }
	minute := task.Constant(time.Minute)
	for _, c := range []struct {
		name     string
		fails    func(context.Context) error // the end of the first two attempts; the third succeeds
		task     []task.ErrorRule
		minion   []task.ErrorRule
		state    broker.State
		attempts int
		retried  int
		after    time.Duration
	}{
		{"no rule", bad, nil, nil, broker.StateSucceeded, 3, 2, 2 * time.Second},
		{"no rule matches", bad, nil, []task.ErrorRule{task.ErrAs[*codeError]().NoRetry()}, broker.StateSucceeded, 3, 2, 2 * time.Second},
		{"dead letter", bad, nil, []task.ErrorRule{task.ErrIs(errBad).NoRetry()}, broker.StateFailed, 1, 0, 0},
		{"one of two targets", bad, nil, []task.ErrorRule{task.ErrIs(task.ErrPanic, errBad).NoRetry()}, broker.StateFailed, 1, 0, 0},
		{"snooze", bad, nil, []task.ErrorRule{task.ErrIs(errBad).Snooze(time.Minute)}, broker.StateSucceeded, 3, 0, 2 * time.Minute},
		{"retry", bad, nil, []task.ErrorRule{task.ErrIs(errBad).Retry(minute)}, broker.StateSucceeded, 3, 2, 2 * time.Minute},
		{"type", code, nil, []task.ErrorRule{task.ErrAs[*codeError]().NoRetry()}, broker.StateFailed, 1, 0, 0},
		{"panic", thrown, nil, []task.ErrorRule{task.ErrIs(task.ErrPanic).NoRetry()}, broker.StateFailed, 1, 0, 0},
		{"panic that snoozes", thrown, nil, []task.ErrorRule{task.ErrIs(task.ErrPanic).Snooze(time.Minute)}, broker.StateSucceeded, 3, 0, 2 * time.Minute},
		{"timeout", obey, nil, []task.ErrorRule{task.ErrIs(task.ErrTimeout).NoRetry()}, broker.StateFailed, 1, 0, time.Hour},
		{"the first rule counts", bad, nil, []task.ErrorRule{task.ErrIs(errBad).Retry(minute), task.ErrIs(errBad).NoRetry()}, broker.StateSucceeded, 3, 2, 2 * time.Minute},
		{"the task's rule", bad, []task.ErrorRule{task.ErrIs(errBad).Retry(minute)}, []task.ErrorRule{task.ErrIs(errBad).NoRetry()}, broker.StateSucceeded, 3, 2, 2 * time.Minute},
		{"the task's exemption", bad, []task.ErrorRule{task.ErrIs(errBad).Retry(nil)}, []task.ErrorRule{task.ErrIs(errBad).NoRetry()}, broker.StateSucceeded, 3, 2, 2 * time.Second},
		{"the task's rule does not match", bad, []task.ErrorRule{task.ErrIs(task.ErrPanic).Retry(minute)}, []task.ErrorRule{task.ErrIs(errBad).NoRetry()}, broker.StateFailed, 1, 0, 0},
		{"the handler's mark counts", func(context.Context) error { return task.RetryAfter(time.Minute, errBad) }, nil,
			[]task.ErrorRule{task.ErrIs(errBad).NoRetry()}, broker.StateSucceeded, 3, 2, 2 * time.Minute},
		{"bad arguments stay so", func(context.Context) error { return task.ErrBadArguments }, nil,
			[]task.ErrorRule{task.ErrIs(task.ErrBadArguments).Snooze(time.Minute)}, broker.StateFailed, 1, 0, 0},
		{"a function", bad, nil, []task.ErrorRule{func(retry int, err error) (error, bool) {
			return task.RetryAfter(time.Duration(retry)*time.Minute, err), true
		}}, broker.StateSucceeded, 3, 2, 3 * time.Minute},
		{"a limit", bad, nil, []task.ErrorRule{func(int, error) (error, bool) {
			return task.LimitReached(time.Now().Add(time.Minute)), true
		}}, broker.StateSucceeded, 3, 0, 2 * time.Minute},
		{"nil is no verdict", bad, nil, []task.ErrorRule{func(int, error) (error, bool) { return nil, true }}, broker.StateSucceeded, 3, 2, 2 * time.Second},
		{"a rule that panics", bad, nil, []task.ErrorRule{func(int, error) (error, bool) { panic("no") }}, broker.StateSucceeded, 3, 2, 2 * time.Second},
		{"a verdict that panics", bad, nil, []task.ErrorRule{func(int, error) (error, bool) { return brokenVerdict{}, true }}, broker.StateSucceeded, 3, 2, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				m := must(minion.New(r.b, minion.Logger(r.logs.logger()), minion.Retry(5, task.Constant(time.Second)), minion.OnError(c.minion...)))
				runs := 0
				err := task.Handle(m, work.With(task.OnError(c.task...), task.Timeout(time.Hour)), func(ctx context.Context, a args) (int, error) {
					if runs++; runs <= 2 {
						return 0, c.fails(ctx)
					}
					return a.N, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				r.start(m, 1)
				began := time.Now()
				fut := r.send(1)
				_, _ = r.result(fut)
				r.near("the end", time.Since(began), c.after)
				r.want(fut, c.state, c.attempts, c.retried)
				if letters := r.dead(task.DefaultQueue); (c.state == broker.StateFailed) != (len(letters) == 1) {
					t.Errorf("the task is %s, and there are %d dead letters", c.state, len(letters))
				}
				if strings.HasPrefix(c.name, "panic") && !strings.Contains(r.logs.String(), "stack=") {
					t.Error("the log does not have the stack of the panic")
				}
			})
		})
	}
}

// A rule gives a task no more retries than it has, and the rules are not asked about a task that
// is killed, has expired, or goes back to its queue.
func TestErrorRulesHaveLimits(t *testing.T) {
	again := minion.OnError(func(_ int, err error) (error, bool) { return task.RetryAfter(0, err), true })
	t.Run("retries", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.crew(1, func(context.Context, args) (int, error) { return 0, errBad }, again)
			r.want(r.send(1, task.Retries(2)), broker.StateFailed, 3, 2)
		})
	})
	t.Run("expired", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			r.crew(1, func(ctx context.Context, _ args) (int, error) { return 0, obey(ctx) }, again)
			r.want(r.send(1, task.Within(time.Minute)), broker.StateExpired, 1, 0)
		})
	})
	t.Run("killed", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			begun := make(chan struct{}, 1)
			r.crew(1, func(ctx context.Context, _ args) (int, error) {
				begun <- struct{}{}
				return 0, obey(ctx)
			}, again)
			fut := r.send(1)
			<-begun
			if _, err := r.arb.Kill(t.Context(), fut.ID()); err != nil {
				t.Fatal(err)
			}
			r.want(fut, broker.StateCanceled, 1, 0)
		})
	})
	t.Run("stop", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			begun := make(chan struct{}, 1)
			never := minion.OnError(func(_ int, err error) (error, bool) { return task.NoRetry(err), true })
			first := r.crew(1, func(ctx context.Context, _ args) (int, error) {
				begun <- struct{}{}
				return 0, obey(ctx)
			}, never, minion.DrainTimeout(0))
			fut := r.send(1)
			<-begun
			if err := first.stop(); err != nil {
				t.Fatal(err)
			}
			r.crew(1, func(_ context.Context, a args) (int, error) { return a.N, nil }, never)
			r.want(fut, broker.StateSucceeded, 2, 0)
		})
	})
}

// A rule that can match nothing is refused.
func TestErrorRulesAreChecked(t *testing.T) {
	for name, rule := range map[string]task.ErrorRule{
		"nil":           nil,
		"no target":     task.ErrIs().NoRetry(),
		"a nil target":  task.ErrIs(errBad, nil).Retry(nil),
		"a nil matcher": task.ErrorMatch(nil).Snooze(time.Second),
	} {
		_, err := minion.New(memory.New(), minion.OnError(task.ErrIs(errBad).NoRetry(), rule))
		if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "OnError: rule 2") {
			t.Errorf("%s, for a minion: error %v, want ErrInvalid that names the rule", name, err)
		}
		reg := task.Implement(work.With(task.OnError(rule)), func(context.Context, args) (int, error) { return 0, nil })
		if !errors.Is(reg.Err, task.ErrInvalid) || !strings.Contains(reg.Err.Error(), "OnError: rule 1") {
			t.Errorf("%s, for a task: error %v, want ErrInvalid that names the rule", name, reg.Err)
		}
	}
}
