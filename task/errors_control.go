package task

import (
	"fmt"
	"strings"
	"time"
)

// The errors that a handler returns to say what happens to its task next. The minion finds
// them with errors.As, so a handler can wrap them.

// NoRetryError is the error that [NoRetry] returns.
type NoRetryError struct{ Err error }

// NoRetry marks an error as final: the task is not retried, and becomes a dead letter with that
// error. NoRetry(nil) is nil.
func NoRetry(err error) error {
	if err == nil {
		return nil
	}
	return &NoRetryError{err}
}

// Error returns the marked error's message.
func (e *NoRetryError) Error() string { return e.Err.Error() }

// Unwrap returns the marked error.
func (e *NoRetryError) Unwrap() error { return e.Err }

// SnoozeError is the error that [Snooze] returns.
type SnoozeError struct{ After time.Duration }

// Snooze makes the task due again after d, without using up a retry. Return it if the task
// can't be done yet and that is no failure. A negative d counts as 0.
func Snooze(d time.Duration) error { return &SnoozeError{max(d, 0)} }

// Error returns the time until the task is due again.
func (e *SnoozeError) Error() string { return fmt.Sprintf("snooze for %v", e.After) }

// RetryAfterError is the error that [RetryAfter] returns.
type RetryAfterError struct {
	After time.Duration
	Err   error
}

// RetryAfter marks an error with the time to wait before the next attempt, in place of the
// task's backoff: for instance the time of a Retry-After header. It uses up a retry. A negative
// d counts as 0. RetryAfter(d, nil) is nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &RetryAfterError{max(d, 0), err}
}

// Error returns the message of the error that was given to RetryAfter.
func (e *RetryAfterError) Error() string { return e.Err.Error() }

// Unwrap returns the error that was given to RetryAfter.
func (e *RetryAfterError) Unwrap() error { return e.Err }

// LimitReachedError is the error that [LimitReached] returns.
type LimitReachedError struct {
	Until  time.Time
	Limits []string // the names of the limits; none means all limits of the task
}

// LimitReached says that a service that the handler has called allows no more calls until then: it has answered 429, for
// example, with a Retry-After header. The minion closes the limits with these names in the queue of the task, so that no
// task that needs one of them is handed out before that time. Without a name, it closes all limits of the task, see [Limit]. Of a
// limit with keys, it closes the keys that the task uses; of a limit that the task does not use, it closes the part for tasks
// without a key. Tasks that minions hold already go on. Then the task is snoozed until the same time: no retry is used up.
//
// The limit is closed first, so if the minion dies between the two, the other tasks wait already, and the task comes back
// when the lease of the minion ends. If several handlers close a limit, the last one counts. A time that is less than a
// second away counts as a second. If the limit can't be closed, the minion logs a warning, and the task is snoozed all the same.
func LimitReached(until time.Time, limits ...string) error {
	return &LimitReachedError{until, limits}
}

// Error names the limits and the time.
func (e *LimitReachedError) Error() string {
	what := "the limits of the task are"
	switch len(e.Limits) {
	case 0:
	case 1:
		what = "limit " + e.Limits[0] + " is"
	default:
		what = "limits " + strings.Join(e.Limits, ", ") + " are"
	}
	return fmt.Sprintf("%s reached until %s", what, e.Until.Format(time.RFC3339))
}
