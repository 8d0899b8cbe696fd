package task

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// ID identifies a task, a group or a pipe. Its text form is that of a UUID; see [broker.ID].
type ID = broker.ID

// ParseID parses an [ID] in the text form of a UUID, such as 0198c0de-7000-7000-8000-000000000000. The error wraps
// [ErrInvalid].
func ParseID(s string) (ID, error) { return broker.ParseID(s) }

// Submitter sends calls and waits for their results. An arbiter is one, and so is the [Info] of a
// running task. Its methods may be called concurrently.
type Submitter interface {
	// Submit stores calls, in as few round trips as possible. It returns nil if all of them
	// are stored, or else a *SubmitError that lists the calls that are not.
	Submit(ctx context.Context, calls ...Bound) error

	// Await waits until the task is done and decodes its result into the pointer into. If into
	// is nil, the result is dropped. Await does not write to into once it has returned. The
	// errors are those of Future.Result.
	Await(ctx context.Context, id ID, into any) error
}
