package broker

import (
	"errors"
	"fmt"
)

// Errors about a request.
var (
	// ErrInvalid is wrapped by every error about a name, an id, an option or a value that
	// can never be accepted as it is.
	ErrInvalid = errors.New("invalid")

	// ErrTooLarge is wrapped by an error about a payload, a result, metadata or a batch
	// that is over its limit. The error names the limit. It also wraps ErrInvalid.
	ErrTooLarge = fmt.Errorf("%w: too large", ErrInvalid)

	// ErrDuplicate is wrapped by the error of an enqueue whose unique key belongs to
	// another task, or whose id belongs to a task with other content; of a requeue whose
	// unique key belongs to another task; and of an OpenFlow whose id or positions belong
	// to others. [DuplicateError] has the id of the holder.
	ErrDuplicate = errors.New("duplicate")

	// ErrNotFound is wrapped by the error for an unknown id of a task or flow: it was never
	// stored, or its retention has ended.
	ErrNotFound = errors.New("not found")

	// ErrConflict is wrapped by the error of a change of a document that somebody else has
	// changed since it was read. [ConflictError] has the present version.
	ErrConflict = errors.New("changed by somebody else")

	// ErrUnsupported is wrapped by every error about an optional capability that the broker
	// lacks: [Flows], [Squads], [Parker], [Lanes], [Pauser], [Bounder], [Uniques], [Documents], [Reports] or [Inspector]. See
	// [UnsupportedError]. It also wraps ErrInvalid and [errors.ErrUnsupported].
	ErrUnsupported = fmt.Errorf("%w: %w", ErrInvalid, errors.ErrUnsupported)
)

// Errors about a task or its owner.
var (
	// ErrLeaseLost is wrapped by the error of a settlement of an attempt that the consumer
	// no longer owns, and of a call of a consumer whose lease has ended. Nothing was
	// changed.
	ErrLeaseLost = errors.New("lease lost")

	// ErrCanceled is the error of a task that was killed. It is also the cause when the
	// context of its handler ends.
	ErrCanceled = errors.New("canceled")

	// ErrExpired is the error of a task whose deadline passed before it was done.
	ErrExpired = errors.New("deadline of the task has passed")

	// ErrPaused is wrapped by the error of an assignment of a task that a [Pause] names.
	ErrPaused = errors.New("paused")
)

// Errors about the broker.
var (
	// ErrClosed is wrapped by the error of every method after Close, and of a wait that
	// Close ended. The error says what is closed: the broker, a consumer, an inbox or a
	// subscription.
	ErrClosed = errors.New("closed")

	// ErrUnavailable is wrapped by the error of a broker that could not be reached or
	// refuses to serve. Nothing was changed, unless the error also wraps ErrIndeterminate.
	ErrUnavailable = errors.New("broker unavailable")

	// ErrIndeterminate is wrapped by an error if it is not known whether the request took
	// effect, because the reply was lost. It is safe to send the same request again. Only
	// events and posts may then be received twice.
	ErrIndeterminate = errors.New("outcome unknown")

	// ErrDamaged is wrapped by the error of a broker that can be reached, but can't carry
	// out the request because its stored data is damaged. An example is a key of another
	// type, written by a foreign program. Trying again does not help until an operator has
	// repaired the data. After that it is safe to send the same request again. The error
	// also wraps ErrIndeterminate if the request may have taken effect in part.
	ErrDamaged = errors.New("the broker's data is damaged")
)

// Errors about a stored record.
var (
	// ErrVersion is wrapped by the error of a record with a version that this program does
	// not read.
	ErrVersion = errors.New("unknown record version")

	// ErrMalformed is wrapped by the error of a record that can't be read.
	ErrMalformed = errors.New("malformed record")
)

// DuplicateError is the error of an enqueue or requeue that another task prevents, and of an
// OpenFlow that another flow or member prevents. It wraps [ErrDuplicate].
type DuplicateError struct {
	ID     ID     // the task or flow that was refused
	Holder ID     // the task that has the key; equal to ID if the id itself is taken
	Key    string // Task.Unique.Key, see DuplicateError.Unique; empty if the id itself is taken
	Name   string // the name of the holder's task; empty if the broker does not know it, and if the id itself is taken
}

// Unique returns the unique key as the caller gave it, and its scope. The scope is the name
// of the task, unless the key was made with another one.
func (e *DuplicateError) Unique() (scope, key string) { return SplitKey(e.Key) }

// Error names the task or flow, and the key with the task that has it.
func (e *DuplicateError) Error() string {
	if kind := e.ID.Kind(); kind == KindGroup || kind == KindPipe {
		return fmt.Sprintf("flow %s: duplicate: this id belongs to another flow, or one of the positions to another member", e.ID)
	}
	if e.Key == "" {
		return fmt.Sprintf("task %s: duplicate: this id belongs to a task with other content", e.ID)
	}
	scope, key := e.Unique()
	name := ""
	if e.Name != "" && e.Name != scope {
		name = " (" + e.Name + ")"
	}
	if scope != "" {
		scope = " of " + scope
	}
	return fmt.Sprintf("task %s: duplicate: unique key %q%s belongs to task %s%s", e.ID, key, scope, e.Holder, name)
}

// Unwrap returns [ErrDuplicate].
func (e *DuplicateError) Unwrap() error { return ErrDuplicate }

// BatchError says which items of a batch failed, and why. The items without an error have
// taken effect.
type BatchError struct {
	Errs []error // one entry for each item of the batch, in its order; nil for those that succeeded
}

// NewBatchError returns a *BatchError with errs, or nil if every entry is nil.
func NewBatchError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return &BatchError{Errs: errs}
		}
	}
	return nil
}

// Error returns the text of the first error and the number of the others.
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

// Unwrap returns the entries that are not nil.
func (e *BatchError) Unwrap() []error {
	var set []error
	for _, err := range e.Errs {
		if err != nil {
			set = append(set, err)
		}
	}
	return set
}
