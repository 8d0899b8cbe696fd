package failure

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/errtree"
	"github.com/go-arbiter/arbiter/task"
)

// An error of a handler crosses the border between two processes. The message alone would
// lose what errors.Is and errors.As find in it, and the minion needs that: a snooze, a
// timeout or a panic is settled in its own way. So the error travels as a Wire, with
// the names of the known errors that it wraps and the fields of the known types, and
// childError behaves like the original on the other side.

// Wire is an error on its way between a minion and its child.
type Wire struct {
	Failure broker.Failure
	Known   []string // the keys of known for the errors that it wraps
	Control string   // an instruction for the minion, one of the constants below; "" if none
	After   time.Duration
	Until   time.Time              // of sayLimitReached
	Limits  []string               // of sayLimitReached
	Foreign bool                   // it is the error of another task
	Dup     *broker.DuplicateError // nil if it wraps none
	Full    *broker.FullError      // nil if it wraps none
	Wait    *task.WaitError        // nil if it wraps none; without its Err and LastFailure
	Last    *wireLast              // the LastFailure of Wait; nil if it has none
}

// The instructions that a handler's error can contain.
const (
	sayNoRetry    = "no retry"
	sayRetryAfter = "retry after"
	saySnooze     = "snooze"

	sayLimitReached = "limit reached"
)

// known has the errors that errors.Is finds on the other side, in addition to those of
// task.RegisterError.
var known = map[string]error{
	"canceled": task.ErrCanceled, "timeout": task.ErrTimeout, "expired": task.ErrExpired,
	"stopping": task.ErrStopping, "lease lost": task.ErrLeaseLost,
	"invalid": task.ErrInvalid, "too large": task.ErrTooLarge, "steps": broker.ErrSteps, "duplicate": task.ErrDuplicate, "full": task.ErrFull,
	"unsupported": task.ErrUnsupported, "not found": task.ErrNotFound, "closed": task.ErrClosed, "unavailable": task.ErrUnavailable,
	"indeterminate": task.ErrIndeterminate, "damaged": task.ErrDamaged, "no minion": task.ErrNoMinion, "not submitted": task.ErrNotSubmitted,
	"context canceled": context.Canceled, "deadline exceeded": context.DeadlineExceeded,
}

// Pack returns an error in its form for the other process, or nil for nil. It calls
// methods of the user's errors, which may panic.
func Pack(err error) *Wire {
	if err == nil {
		return nil
	}
	err = errtree.Finite(err)
	w := &Wire{Failure: *Of(err)}
	for name, target := range known {
		if errors.Is(err, target) {
			w.Known = append(w.Known, name)
		}
	}
	var snooze *task.SnoozeError
	var after *task.RetryAfterError
	var final *task.NoRetryError
	var reached *task.LimitReachedError
	switch {
	case errors.As(err, &reached):
		w.Control, w.Until, w.Limits = sayLimitReached, reached.Until, reached.Limits
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
	errors.As(err, &w.Full)
	if wait, ok := errors.AsType[*task.WaitError](err); ok {
		bare := *wait
		bare.Err, bare.LastFailure = nil, nil
		w.Wait = &bare
		w.Last = packLast(wait.LastFailure)
	}
	return w
}

// Unpack returns the error, or nil for nil.
func (w *Wire) Unpack() error {
	if w == nil {
		return nil
	}
	err := error(&childError{*w, task.NewRemoteError(task.ID{}, &broker.Outcome{Err: &w.Failure})})
	switch w.Control {
	case saySnooze:
		return task.Snooze(w.After)
	case sayLimitReached:
		return task.LimitReached(w.Until, w.Limits...)
	case sayNoRetry:
		return task.NoRetry(err)
	case sayRetryAfter:
		return task.RetryAfter(w.After, err)
	}
	return err
}

// childError is an error from the other process. It wraps the same registered and known
// errors as the original.
type childError struct {
	Wire
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

// As finds the wrapped errors that have fields.
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
	case **broker.FullError:
		if e.Full != nil {
			*t = e.Full
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

// wireLast is the last failure of a task that somebody waited for.
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
		Codes: task.NewFailure(e).Codes, // codes that are registered in this process
	}}
}

// last returns the last failure of the awaited task, or nil if there is none.
func (e *childError) last() *task.RemoteError {
	l := e.Last
	if l == nil {
		return nil
	}
	return task.NewRemoteError(l.ID, &broker.Outcome{Name: l.Task, Attempts: l.Attempts, Err: &l.Failure})
}

// ended returns the reason why a wait has ended.
func (e *childError) ended() error {
	for _, err := range []error{context.DeadlineExceeded, task.ErrClosed} {
		if e.Is(err) {
			return err
		}
	}
	return context.Canceled
}

// fill sets the fields of a failure from this error. err itself, or an error that wraps
// it, is what the failure describes.
func (e *childError) fill(f *broker.Failure) {
	f.Type, f.Chain, f.Stack = e.Failure.Type, e.Failure.Chain, e.Failure.Stack
	f.Codes = append(f.Codes, e.Failure.Codes...)
	slices.Sort(f.Codes)
	f.Codes = slices.Compact(f.Codes)
}
