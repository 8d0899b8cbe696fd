package broker

import (
	"errors"
	"fmt"
)

// What a caller did.
var (
	// ErrInvalid is wrapped by every error about a name, an id, an option or a
	// record that can never be accepted as it is.
	ErrInvalid = errors.New("invalid")

	// ErrTooLarge is wrapped by an error about a payload, a result, metadata or
	// a batch over its limit; the error names the limit. It also wraps ErrInvalid.
	ErrTooLarge = fmt.Errorf("%w: too large", ErrInvalid)

	// ErrDuplicate is returned by an enqueue when the unique key is held by
	// another task, or when the id belongs to a task with other content; and by a
	// requeue when the key is held. See [DuplicateError] for the holder's id.
	ErrDuplicate = errors.New("duplicate")

	// ErrNotFound is returned where an id is unknown: never enqueued, or its
	// retention has ended.
	ErrNotFound = errors.New("not found")

	// ErrUnsupported is wrapped by every error about an optional capability that
	// the broker lacks: [Flows], [Squads], [Parker] or [Inspector]. See [UnsupportedError]. It
	// also wraps ErrInvalid and [errors.ErrUnsupported].
	ErrUnsupported = fmt.Errorf("%w: %w", ErrInvalid, errors.ErrUnsupported)
)

// What happened to a task or its owner.
var (
	// ErrLeaseLost is returned by a settlement or heartbeat of somebody who no
	// longer owns what it speaks of. Nothing was changed.
	ErrLeaseLost = errors.New("lease lost")

	// ErrCanceled is the error of a task that was killed, and the cause of its
	// context's end.
	ErrCanceled = errors.New("canceled")

	// ErrExpired is the error of a task whose deadline passed before it was done.
	ErrExpired = errors.New("deadline of the task has passed")
)

// What happened to the broker.
var (
	// ErrClosed is wrapped by the error of every method after Close, and of a wait
	// that Close ended. The error says what is closed: the broker, a consumer, an
	// inbox, a subscription.
	ErrClosed = errors.New("closed")

	// ErrUnavailable is wrapped by an error of a broker that could not be
	// reached or refuses to serve. Nothing was changed, unless the error also
	// wraps ErrIndeterminate.
	ErrUnavailable = errors.New("broker unavailable")

	// ErrIndeterminate is wrapped by an error after which nobody knows whether
	// the request took effect: the reply was lost. Sending the same again is safe.
	ErrIndeterminate = errors.New("outcome unknown")

	// ErrDamaged is wrapped by the error of a broker that can be reached, but can't do what
	// was asked because the data that it keeps is damaged. An example is a key of another
	// type, written by somebody else. Trying again is of no use until an operator has
	// repaired the data. After that, sending the same again is safe. If a part may have
	// been done, the error also wraps ErrIndeterminate.
	ErrDamaged = errors.New("the broker's data is damaged")
)

// DuplicateError says which task stands in the way. It wraps [ErrDuplicate].
type DuplicateError struct {
	ID     ID     // the task that was refused
	Holder ID     // the task that holds the key; equal to ID if the id itself has other content
	Key    string // Task.Unique, see DuplicateError.Unique; empty if the id itself has other content
}

// Unique returns the unique key as the caller gave it, and its scope: the name of the
// task unless it was given another.
func (e *DuplicateError) Unique() (scope, key string) { return SplitKey(e.Key) }

// Error names the task, the key and its holder.
func (e *DuplicateError) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("task %s: duplicate: this id belongs to a task with other content", e.ID)
	}
	scope, key := e.Unique()
	if scope != "" {
		scope = " of " + scope
	}
	return fmt.Sprintf("task %s: duplicate: unique key %q%s is held by task %s", e.ID, key, scope, e.Holder)
}

// Unwrap returns [ErrDuplicate].
func (e *DuplicateError) Unwrap() error { return ErrDuplicate }

// BatchError says which parts of a batch failed, and why. The parts without an
// error have taken effect.
type BatchError struct {
	Errs []error // one for each part of the batch, in its order; nil for those that succeeded
}

// NewBatchError returns a *BatchError of errs, or nil if none of them is set.
func NewBatchError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return &BatchError{Errs: errs}
		}
	}
	return nil
}

// Error returns the first error and the number of others.
func (e *BatchError) Error() string {
	var first error
	n := 0
	for _, err := range e.Errs {
		if err != nil {
			if first == nil {
				first = err
			}
			n++
		}
	}
	if n <= 1 {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%v (and %d more of %d)", first, n-1, len(e.Errs))
}

// Unwrap returns the errors that are set.
func (e *BatchError) Unwrap() []error {
	var set []error
	for _, err := range e.Errs {
		if err != nil {
			set = append(set, err)
		}
	}
	return set
}
