package task

import (
	"fmt"
	"time"
)

// What a handler returns to say what shall happen next. Each can be wrapped.

// NoRetryError is what [NoRetry] returns.
type NoRetryError struct{ Err error }

// NoRetry marks an error as final: the task is not retried and becomes a dead
// letter with that error. NoRetry(nil) is nil.
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

// SnoozeError is what [Snooze] returns.
type SnoozeError struct{ After time.Duration }

// Snooze makes the task due again after d, without using up a retry: it could
// not be done now, and that is no failure.
func Snooze(d time.Duration) error { return &SnoozeError{max(d, 0)} }

// Error says how long the task wants to wait.
func (e *SnoozeError) Error() string { return fmt.Sprintf("snooze for %v", e.After) }

// RetryAfterError is what [RetryAfter] returns.
type RetryAfterError struct {
	After time.Duration
	Err   error
}

// RetryAfter is a failure that says itself when to try again, as a server does
// with a Retry-After header. It uses up a retry. RetryAfter(d, nil) is nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &RetryAfterError{max(d, 0), err}
}

// Error returns the failure's message.
func (e *RetryAfterError) Error() string { return e.Err.Error() }

// Unwrap returns the failure.
func (e *RetryAfterError) Unwrap() error { return e.Err }
