package task

import (
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// The errors of package broker that callers of tasks meet. They are the same
// variables.
var (
	// ErrInvalid is wrapped by errors about names, options and arguments that
	// can never be accepted as they are.
	ErrInvalid = broker.ErrInvalid
	// ErrTooLarge is wrapped by errors about what is over its limit. It wraps
	// ErrInvalid.
	ErrTooLarge = broker.ErrTooLarge
	// ErrDuplicate is wrapped by the error of a call whose unique key is taken.
	ErrDuplicate = broker.ErrDuplicate
	// ErrNotFound says that a task is unknown, or its result not kept any more.
	ErrNotFound = broker.ErrNotFound
	// ErrUnsupported is wrapped by the error of a call that needs a capability
	// that the broker lacks: groups, pipes, squads, and calls that are sent on
	// success. The error names the capability. It wraps ErrInvalid.
	ErrUnsupported = broker.ErrUnsupported
	// ErrLeaseLost is the cause of the end of a handler's context when its
	// minion lost the task: it may be running elsewhere by now.
	ErrLeaseLost = broker.ErrLeaseLost
	// ErrCanceled is wrapped by the error of a task that was killed, and is the
	// cause of the end of its handler's context.
	ErrCanceled = broker.ErrCanceled
	// ErrExpired is wrapped by the error of a task whose deadline passed.
	ErrExpired = broker.ErrExpired
	// ErrClosed says that the arbiter, minion or broker was closed.
	ErrClosed = broker.ErrClosed
	// ErrUnavailable is wrapped by errors of a broker that can't be reached.
	ErrUnavailable = broker.ErrUnavailable
	// ErrIndeterminate is wrapped by errors after which it is unknown whether
	// a request took effect. Sending the same Call again is safe.
	ErrIndeterminate = broker.ErrIndeterminate

	// ErrDamaged is wrapped by errors of a broker whose data is damaged, such as by a key
	// of another type. The request is not tried again: an operator has to repair the data
	// first. If the error also wraps ErrIndeterminate, a part may have been done.
	ErrDamaged = broker.ErrDamaged
)

// ErrNotEnoughWorkers is wrapped by the error of a squad that did not start: not
// enough slots of minions were free at once.
var ErrNotEnoughWorkers = errors.New("not enough free workers")

// DuplicateError is the error of a call whose unique key is taken: its field Holder is
// the task that has the key, ID the task that was refused. It wraps [ErrDuplicate].
type DuplicateError = broker.DuplicateError

// UnsupportedError names the capability that a broker lacks. It wraps
// [ErrUnsupported].
type UnsupportedError = broker.UnsupportedError

// The errors that a minion finds in a task, and the causes by which it ends the context
// of a handler.
var (
	// ErrUnknownTask is the reason of a dead letter whose name no handler was
	// registered under, at its minion and at all others for as long as it was parked.
	ErrUnknownTask = errors.New("unknown task")
	// ErrBadArguments is the reason of a dead letter whose arguments its
	// handler can't take. Such a task is not retried. If it was sent with other
	// parameters than those of the handler, it was parked before.
	ErrBadArguments = errors.New("arguments do not fit the task")
	// ErrBadResult is the reason of a dead letter whose result can't be
	// encoded or is over the limit. Such a task is not retried.
	ErrBadResult = errors.New("result cannot be stored")
	// ErrPanic is wrapped by the error of a handler that panicked. It is
	// retried like any other error.
	ErrPanic = errors.New("panic")
	// ErrMinionDied is the reason of a dead letter that was lost with its
	// minion too often.
	ErrMinionDied = errors.New("the task's minion died too often while it ran")
	// ErrTimeout is the cause of the end of a handler's context when its
	// timeout is over.
	ErrTimeout = errors.New("timeout of the attempt is over")
	// ErrStopping is the cause of the end of a handler's context when its
	// minion stops and the time to drain is over; the task goes back to its
	// queue.
	ErrStopping = errors.New("the minion is stopping")
)

// The errors of groups, pipes and tasks within tasks.
var (
	// ErrFlowFailed is wrapped by the error of a group or pipe that has failed
	// because a member did. The error names the member, and errors.Is finds the
	// member's errors in it as well, if they were registered; see RegisterError. If the
	// member was killed or has expired it finds ErrCanceled or ErrExpired, too.
	ErrFlowFailed = errors.New("a group or pipe has failed")
	// ErrNotSubmitted is the error of waiting for a call that is stored only when
	// the task that waits has succeeded; see [OnSuccess].
	ErrNotSubmitted = errors.New("not submitted before the task succeeds")
	// ErrNoUpstream is the reason of a dead letter whose task waited for the result
	// of another one, which could not be put among its arguments. It wraps
	// ErrBadArguments.
	ErrNoUpstream = fmt.Errorf("%w: the result before it is missing", ErrBadArguments)
)

// ofMembers are the errors of a group or pipe that has failed since somebody killed a
// member of it, or since one has expired, by the codes that package flow gives them. They
// are not registered: the error of a handler that wraps ErrCanceled speaks of another
// task, and would read as a kill of its own.
var ofMembers = map[string]error{"member canceled": ErrCanceled, "member expired": ErrExpired}

// built in: errors that come back as themselves, see RegisterError.
func init() {
	for name, err := range map[string]error{
		"unknown task": ErrUnknownTask, "bad arguments": ErrBadArguments,
		"bad result": ErrBadResult, "panic": ErrPanic, "minion died": ErrMinionDied,
		"timeout": ErrTimeout, "flow failed": ErrFlowFailed, "no upstream": ErrNoUpstream,
		"too large": ErrTooLarge,
	} {
		registered.add(name, err)
	}
}
