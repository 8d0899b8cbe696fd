package minion

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/errtree"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/task"
)

// This file decides the outcome of an attempt: before the start, whether it may start at
// all; after the handler has returned, whether the task has succeeded, failed, is retried,
// snoozed, parked, or given back. The rules are in the package documentation. Most
// functions write a settlement to st and report whether there is one.

// refuse settles a task that must not or can't run; bad is the reason for the latter.
// refused without settled means that the task is settled later: see park.
func (a *attempt) refuse(st *broker.Settlement, bad error) (settled, refused bool) {
	var other unable
	switch {
	case a.d.Canceled:
		settled = a.finish(st, broker.StateCanceled, nil, slog.LevelInfo, "task canceled before it ran")
	case (a.d.Err == nil || a.d.Version != 0) && a.d.Left <= 0:
		settled = a.finish(st, broker.StateExpired, nil, slog.LevelInfo, "task expired before it ran")
	case errors.As(bad, &other) && a.s.r.parks():
		settled = a.park(st, other.error)
	case bad != nil:
		settled = a.finish(st, broker.StateFailed, bad, slog.LevelError, "task failed: it can't run")
	default:
		return false, false
	}
	return settled, true
}

// overtaken settles an attempt that must not start any more. over reports whether that is
// so.
func (a *attempt) overtaken(st *broker.Settlement) (settled, over bool) {
	cause := a.ctx.cause()
	end, limited := a.deadline()
	if cause == nil && !limited {
		return false, false
	}
	began := a.started
	a.started = time.Time{} // the handler did not start
	switch {
	case errors.Is(cause, task.ErrCanceled):
		return a.finish(st, broker.StateCanceled, nil, slog.LevelInfo, "task canceled before it ran"), true
	case errors.Is(cause, task.ErrStopping):
		*st = broker.Settlement{Delivery: a.d, Verb: broker.VerbGiveBack, Unstarted: true}
		return true, true
	case cause != nil:
		return false, true
	case limited && !began.Before(end):
		return a.finish(st, broker.StateExpired, nil, slog.LevelInfo, "task expired before it ran"), true
	}
	a.started = began
	return false, false
}

// outcome calls decideOutcome with an error of the user's code, whose methods may panic.
func (a *attempt) outcome(st *broker.Settlement, err error) (settled bool) {
	defer func() {
		if p := recover(); p != nil { // the rules of OnError are not asked again: their verdict may be what panics
			culprit := any(err)
			if thrown, ok := culprit.(*failure.PanicError); ok {
				culprit = thrown.Value
			}
			settled = a.decideOutcome(st, failure.NewMethodPanic(p, culprit), false)
		}
	}()
	return a.decideOutcome(st, errtree.Finite(err), true)
}

// decideOutcome settles a task whose handler has returned err. It reports false if the lease is
// lost. The package documentation has the rules. With ask, the rules of OnError are asked about
// an error that does not say itself what follows.
func (a *attempt) decideOutcome(st *broker.Settlement, err error, ask bool) bool {
	if err == nil {
		return a.finish(st, broker.StateSucceeded, nil, slog.LevelDebug, "task succeeded")
	}
	var snooze *task.SnoozeError
	var after *task.RetryAfterError
	var final *task.NoRetryError
	until, reached := a.limitReached(err)
	explicit := reached || errors.As(err, &snooze) || errors.As(err, &after) || errors.As(err, &final)

	switch cause := context.Cause(a.limits()); {
	case cause == nil:
	case errors.Is(cause, task.ErrLeaseLost):
		if failure.StackOf(err) != "" { // otherwise the log already has the loss of the lease, which explains err
			a.s.r.log.failed(slog.LevelWarn, "task panicked after its lease was lost", a.d, err)
		}
		return false
	case errors.Is(cause, task.ErrCanceled):
		a.s.followUps.kill(a.inherited())
		return a.finish(st, broker.StateCanceled, err, slog.LevelInfo, "task canceled")
	case errors.Is(cause, task.ErrStopping) && !explicit:
		a.s.r.log.failed(slog.LevelDebug, "task given back: the minion stops", a.d, err)
		*st = broker.Settlement{Delivery: a.d, Verb: broker.VerbGiveBack}
		return true
	case errors.Is(cause, task.ErrExpired):
		return a.finish(st, broker.StateExpired, err, slog.LevelInfo, "task expired")
	case errors.Is(cause, task.ErrTimeout) && !errors.Is(err, task.ErrTimeout):
		err = &failure.TimeoutError{After: a.timeout(), Err: err}
	}
	if ask && !explicit && !unfit(err) {
		if verdict, decided := a.judge(err); decided {
			verdict = errtree.Finite(verdict)
			errors.As(verdict, &snooze)
			errors.As(verdict, &after)
			errors.As(verdict, &final)
			until, reached = a.limitReached(verdict)
			if reached || snooze != nil { // the outcome of this attempt does not show the error
				a.s.r.log.failed(slog.LevelInfo, "task failed, and snoozes by a rule of OnError", a.d, err)
			}
			err = verdict
		}
	}
	if reached {
		return a.snooze(st, time.Until(until))
	}
	if snooze != nil {
		return a.snooze(st, snooze.After)
	}
	if final == nil && unfit(err) && errors.Is(err, task.ErrBadArguments) && a.otherSchema() && a.s.r.parks() {
		return a.park(st, err)
	}
	if final != nil || unfit(err) {
		return a.finish(st, broker.StateFailed, err, slog.LevelError, "task failed: not to be retried")
	}
	if a.d.Retried >= a.maxRetries() {
		return a.finish(st, broker.StateFailed, err, slog.LevelError, "task failed: no retries left")
	}
	return a.retry(st, after, err)
}

// unfit reports whether err says that the arguments or the result can never be used. The
// error of another task, for which the handler waited, does not say that about this task.
func unfit(err error) bool {
	var remote *task.RemoteError
	return (errors.Is(err, task.ErrBadArguments) || errors.Is(err, task.ErrBadResult)) && !errors.As(err, &remote)
}

func (a *attempt) retry(st *broker.Settlement, after *task.RetryAfterError, err error) bool {
	var delay time.Duration
	if after != nil {
		delay = after.After
	} else {
		delay = a.backoff(err)
	}
	delay = clamp(delay)
	if end, ok := a.deadline(); ok && delay >= time.Until(end) {
		return a.finish(st, broker.StateFailed, err, slog.LevelError, "task failed: a retry would come after its deadline")
	}
	a.s.r.log.failed(slog.LevelWarn, "task failed, to be retried", a.d, err,
		"duration", time.Since(a.started), "retry_in", delay, "retries_left", a.maxRetries()-a.d.Retried-1)
	*st = broker.Settlement{Delivery: a.d, Verb: broker.VerbRetry, Delay: delay, Outcome: broker.Outcome{
		Err: failure.Of(err), Finished: time.Now(), // a look-up shows the failure until the task ends
	}}
	a.sealRetry(st)
	return true
}

func (a *attempt) snooze(st *broker.Settlement, delay time.Duration) bool {
	delay = clamp(delay)
	if end, ok := a.deadline(); ok {
		// The task becomes due at its deadline, not at the end of the snooze, and is
		// found expired then.
		delay = min(delay, max(time.Until(end), 0)+time.Millisecond)
	}
	a.s.r.log.task(slog.LevelDebug, "task snoozed", a.d, "duration", time.Since(a.started), "due_in", delay)
	*st = broker.Settlement{Delivery: a.d, Verb: broker.VerbSnooze, Delay: delay}
	return true
}

// finish settles a task for good, and logs it.
func (a *attempt) finish(st *broker.Settlement, state broker.State, err error, level slog.Level, msg string) bool {
	d := a.d
	now := time.Now()
	*st = broker.Settlement{Delivery: d, Verb: broker.VerbFinish, Unstarted: a.started.IsZero(), Outcome: broker.Outcome{
		State: state, Codec: d.Codec,
		Name: d.Name, Retried: d.Retried, Minion: a.s.id,
		Enqueued: d.Enqueued, Started: a.started, Finished: now,
	}}
	st.Outcome.Attempts = st.Starts()
	if state == broker.StateSucceeded {
		st.Outcome.Result, st.Submit = a.result, a.submitted()
	}
	if err != nil {
		st.Outcome.Err = failure.Of(err)
	}
	a.sealOutcome(st)
	log := a.s.r.log
	switch {
	case err != nil && !a.started.IsZero():
		log.failed(level, msg, d, err, "duration", now.Sub(a.started))
	case err != nil:
		log.failed(level, msg, d, err)
	case log.enabled(level) && !a.started.IsZero():
		log.task(level, msg, d, "duration", now.Sub(a.started))
	default:
		log.task(level, msg, d)
	}
	return true
}
