package minion

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/errtree"
	"github.com/go-arbiter/arbiter/task"
)

// wireError is an error between a minion and its child.
type wireError struct {
	Failure broker.Failure
	Known   []string // the errors of known that it is
	Control string   // what it says to the minion, as below; "" is nothing
	After   time.Duration
	Foreign bool                   // it is another task's
	Dup     *broker.DuplicateError // nil if it is none
	Wait    *task.WaitError        // the same; without its Err and LastFailure
	Last    *wireLast              // of Wait; nil if it has none
}

// What a handler's error says beside its message.
const (
	sayNoRetry    = "no retry"
	sayRetryAfter = "retry after"
	saySnooze     = "snooze"
)

// known are errors that are themselves on the other side, beside those that
// task.RegisterError knows.
var known = map[string]error{
	"canceled": task.ErrCanceled, "timeout": task.ErrTimeout, "expired": task.ErrExpired,
	"stopping": task.ErrStopping, "lease lost": task.ErrLeaseLost,
	"invalid": task.ErrInvalid, "too large": task.ErrTooLarge, "duplicate": task.ErrDuplicate,
	"unsupported": task.ErrUnsupported, "not found": task.ErrNotFound, "closed": task.ErrClosed, "unavailable": task.ErrUnavailable,
	"indeterminate": task.ErrIndeterminate, "damaged": task.ErrDamaged, "no minion": task.ErrNoMinion, "not submitted": task.ErrNotSubmitted,
	"context canceled": context.Canceled, "deadline exceeded": context.DeadlineExceeded,
}

// packError returns an error as it travels, nil for nil. It calls methods of the
// user's errors, which may panic.
func packError(err error) *wireError {
	if err == nil {
		return nil
	}
	err = errtree.Finite(err)
	w := &wireError{Failure: *newFailure(err)}
	for name, target := range known {
		if errors.Is(err, target) {
			w.Known = append(w.Known, name)
		}
	}
	var snooze *task.SnoozeError
	var after *task.RetryAfterError
	var final *task.NoRetryError
	switch {
	case errors.As(err, &snooze):
		w.Control, w.After = saySnooze, snooze.After
	case errors.As(err, &final):
		w.Control = sayNoRetry
	case errors.As(err, &after):
		w.Control, w.After = sayRetryAfter, after.After
	}
	var remote *task.RemoteError
	w.Foreign = errors.As(err, &remote)
	errors.As(err, &w.Dup)
	var wait *task.WaitError
	if errors.As(err, &wait) {
		bare := *wait
		bare.Err, bare.LastFailure = nil, nil
		w.Wait = &bare
		w.Last = packLast(wait.LastFailure)
	}
	return w
}

// unpack returns the error, nil for nil.
func (w *wireError) unpack() error {
	if w == nil {
		return nil
	}
	err := error(&childError{*w, task.NewRemoteError(task.ID{}, &broker.Outcome{Err: &w.Failure})})
	switch w.Control {
	case saySnooze:
		return task.Snooze(w.After)
	case sayNoRetry:
		return task.NoRetry(err)
	case sayRetryAfter:
		return task.RetryAfter(w.After, err)
	}
	return err
}

// childError is an error from the other process. It is the errors that it was
// there, as far as they are registered or known.
type childError struct {
	wireError
	remote *task.RemoteError
}

func (e *childError) Error() string { return e.Failure.Message }

func (e *childError) Is(target error) bool {
	if e.remote.Is(target) {
		return true
	}
	for _, name := range e.Known {
		if known[name] == target {
			return true
		}
	}
	return false
}

// As finds what the error wraps that is more than a mark.
func (e *childError) As(target any) bool {
	switch t := target.(type) {
	case **task.RemoteError:
		if e.Foreign {
			*t = e.remote
			return true
		}
	case **broker.DuplicateError:
		if e.Dup != nil {
			*t = e.Dup
			return true
		}
	case **task.WaitError:
		if e.Wait != nil {
			wait := *e.Wait
			wait.Err, wait.LastFailure = e.ended(), e.last()
			*t = &wait
			return true
		}
	}
	return false
}

// wireLast is the last failure of a task that somebody waits for.
type wireLast struct {
	Task     string
	ID       task.ID
	Attempts uint32
	Failure  broker.Failure
}

func packLast(e *task.RemoteError) *wireLast {
	if e == nil {
		return nil
	}
	return &wireLast{e.Task, e.ID, uint32(max(e.Attempts, 0)), broker.Failure{
		Type: e.Type, Message: e.Message, Stack: e.Stack, Chain: e.Chain,
		Codes: task.NewFailure(e).Codes, // those registered here
	}}
}

// last returns the last failure of the task that was waited for, nil if there is none.
func (e *childError) last() *task.RemoteError {
	l := e.Last
	if l == nil {
		return nil
	}
	return task.NewRemoteError(l.ID, &broker.Outcome{Name: l.Task, Attempts: l.Attempts, Err: &l.Failure})
}

// ended returns why a wait has ended.
func (e *childError) ended() error {
	for _, err := range []error{context.DeadlineExceeded, task.ErrClosed} {
		if e.Is(err) {
			return err
		}
	}
	return context.Canceled
}

// fill completes what the error, or one that wraps it, travels as.
func (e *childError) fill(f *broker.Failure) {
	f.Type, f.Chain, f.Stack = e.Failure.Type, e.Failure.Chain, e.Failure.Stack
	f.Codes = append(f.Codes, e.Failure.Codes...)
	slices.Sort(f.Codes)
	f.Codes = slices.Compact(f.Codes)
}

// causeName returns how a child is told why a context ends.
func causeName(cause error) string {
	for _, name := range []string{"canceled", "timeout", "expired", "stopping", "lease lost"} {
		if errors.Is(cause, known[name]) {
			return name
		}
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return "deadline exceeded"
	}
	return "context canceled"
}

// causeFrame returns what a child is told when a context has ended. A deadline it
// knows.
func causeFrame(ctx context.Context) []byte {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	return []byte(causeName(context.Cause(ctx)))
}

// causeOf reads what causeName has returned.
func causeOf(name []byte) error {
	if err := known[string(name)]; err != nil {
		return err
	}
	return context.Canceled
}
