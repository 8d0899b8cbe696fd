package task

import (
	"fmt"
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
