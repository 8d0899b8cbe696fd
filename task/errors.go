package task

import (
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// The errors of package broker that callers of tasks meet. They are the same variables, so
// errors.Is finds them by either name.
var (
	// ErrInvalid is wrapped by errors about names, options and arguments that can never be
	// accepted as they are.
	ErrInvalid = broker.ErrInvalid
	// ErrTooLarge is wrapped by errors about something that is over its size limit. By default
	// the arguments of a task may have 1 MiB, its result 1 MiB and its metadata 4 KiB; a broker
	// may be made with other limits. It wraps ErrInvalid.
	ErrTooLarge = broker.ErrTooLarge
	// ErrDuplicate is wrapped by the error of a call whose unique key is taken; see
	// DuplicateError.
	ErrDuplicate = broker.ErrDuplicate
	// ErrNotFound says that a task is unknown, or that its result is no longer kept.
	ErrNotFound = broker.ErrNotFound
	// ErrUnsupported is wrapped by the error of a call that needs a capability that the
	// broker lacks: groups, pipes, squads, and calls that are sent on success. The error
	// names the capability; see UnsupportedError. It wraps ErrInvalid.
	ErrUnsupported = broker.ErrUnsupported
	// ErrLeaseLost is the cause of a handler's context if its minion has lost the task.
	// The task may be running elsewhere by now.
	ErrLeaseLost = broker.ErrLeaseLost
	// ErrCanceled is wrapped by the error of a task that was killed. It is also the cause
	// of its handler's context.
	ErrCanceled = broker.ErrCanceled
	// ErrExpired is wrapped by the error of a task whose deadline has passed.
	ErrExpired = broker.ErrExpired
	// ErrPaused is wrapped by the error of a squad that did not start because the queue of a member
	// is paused, or the tasks of its name are.
	ErrPaused = broker.ErrPaused
	// ErrFull is wrapped by the error of a call whose queue has no room; see FullError and
	// [WaitForRoom].
	ErrFull = broker.ErrFull
	// ErrClosed says that the arbiter, the minion or the broker was closed.
	ErrClosed = broker.ErrClosed
	// ErrUnavailable is wrapped by the errors of a broker that can't be reached or refuses to
	// serve.
	ErrUnavailable = broker.ErrUnavailable
	// ErrIndeterminate is wrapped by an error after which it is unknown whether the request
	// took effect. Sending the same Call again is safe.
	ErrIndeterminate = broker.ErrIndeterminate

	// ErrDamaged is wrapped by the error of a broker that finds damaged data, such as a key
	// of the wrong type. The request is not tried again: an operator has to repair the data
	// first. If the error also wraps ErrIndeterminate, a part of the request may have been
	// done.
	ErrDamaged = broker.ErrDamaged
)

// ErrNotEnoughWorkers is wrapped by the error of a squad that did not start because too few
// slots of minions were free at once.
var ErrNotEnoughWorkers = errors.New("not enough free workers")

// DuplicateError is the error of a call whose unique key is taken. Its field Holder is the id
// of the task that has the key, and ID is the task that was refused. It wraps [ErrDuplicate].
type DuplicateError = broker.DuplicateError

// FullError is the error of a call whose queue has no room: it has a bound, set by
// Arbiter.SetMaxWaiting, and as many tasks wait. It has both numbers, and wraps [ErrFull].
type FullError = broker.FullError

// UnsupportedError names the capability that a broker lacks. It wraps [ErrUnsupported].
type UnsupportedError = broker.UnsupportedError

// The errors that a minion reports about a task, and the causes with which it ends the context
// of a handler.
var (
	// ErrUnknownTask is the reason of a dead letter whose task no minion could run: none had
	// a handler of its name for as long as the task was parked.
	ErrUnknownTask = errors.New("unknown task")
	// ErrBadArguments is the reason of a dead letter whose arguments do not fit its handler.
	// Such a task is not retried. If it was sent with other parameters than the handler has,
	// it was parked first.
	ErrBadArguments = errors.New("arguments do not fit the task")
	// ErrBadResult is the reason of a dead letter whose result can't be encoded or is over
	// the limit. Such a task is not retried.
	ErrBadResult = errors.New("result cannot be stored")
	// ErrPanic is wrapped by the error of a handler that panicked. The task is retried as
	// after any other error.
	ErrPanic = errors.New("panic")
	// ErrMinionDied is the reason of a dead letter whose minions died too often while they ran
	// it; minion.MaxRecoveries sets how often.
	ErrMinionDied = errors.New("the task's minion died too often while it ran")
	// ErrTimeout is the cause of a handler's context if its timeout is over.
	ErrTimeout = errors.New("timeout of the attempt is over")
	// ErrStopping is the cause of a handler's context if its minion stops and the time to
	// drain is over. The task goes back to its queue.
	ErrStopping = errors.New("the minion is stopping")
)

// The errors of groups, pipes and tasks within tasks.
var (
	// ErrFlowFailed is wrapped by the error of a group or pipe that has failed because a
	// member did. The error names the member. errors.Is also finds the registered errors of
	// the member in it (see RegisterError), and ErrCanceled or ErrExpired if the member was
	// killed or has expired.
	ErrFlowFailed = errors.New("a group or pipe has failed")
	// ErrNotSubmitted is the error of a wait for a call that is stored only when the task
	// that waits has succeeded; see the function OnSuccess.
	ErrNotSubmitted = errors.New("not submitted before the task succeeds")
	// ErrNoUpstream is the reason of a dead letter whose task needed the result of another
	// task as an argument, and the result could not be inserted. It wraps ErrBadArguments.
	ErrNoUpstream = fmt.Errorf("%w: the result before it is missing", ErrBadArguments)
)

// memberErrors are the errors that a failed group or pipe wraps because a member was killed
// or has expired. The keys are the codes that package flow gives them. They are not in the
// registry: a handler's error that wraps ErrCanceled is about another task, and would look
// like a kill of its own task.
var memberErrors = map[string]error{"member canceled": ErrCanceled, "member expired": ErrExpired}

// The errors above keep their identity on their way to the caller without a call of
// RegisterError.
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
