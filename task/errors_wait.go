package task

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/title"
)

// ErrNoMinion is wrapped by a [WaitError] if no living minion can run the task: none serves its
// queue, or those that serve it have no handler of its name.
var ErrNoMinion = errors.New("no living minion can run the task")

// WaitError is the error of a wait that has ended before the task. The task goes on, and can be
// waited for again.
//
// Its fields hold the last known state of the task. The client looks the state up when a wait
// has lasted for five seconds, and then once a minute. If the context has a deadline, it also
// looks when about half of the time is over, and never after its end. A wait that ends before
// the first look has no Reason.
//
// It wraps the context's error, or [ErrClosed]. errors.Is also finds [ErrNoMinion] in it if no
// living minion could run the task.
type WaitError struct {
	ID   ID     // of the task; if several were waited for, of one that is not done
	Name string // of the task; empty if it isn't known, and for a group or pipe

	Queue  string       // empty if it isn't known
	State  broker.State // StateUnknown if it isn't known
	Due    time.Time    // when a scheduled or retrying task is due, by the broker's clock
	Reason string       // why the task is not done yet, without a full stop; empty if it isn't known
	Seen   time.Time    // when Reason was found; zero if there is none

	// LastFailure is the error of the last failed attempt of a task that is being retried,
	// or of such a task in the group or pipe. It is nil if no attempt has failed, or if
	// that isn't known. Its Message has at most broker.MaxLastMessage bytes, and its
	// Attempts is the number of the failed attempt. errors.Is(e.LastFailure, err) finds
	// registered errors in it. The WaitError does not wrap it, since the task has not failed
	// yet.
	LastFailure *RemoteError

	Stuck bool  // no living minion can run the task: errors.Is(e, ErrNoMinion)
	Err   error // the context's error, or ErrClosed
}

// Error returns the task's name and id, why the wait has ended, and the reason.
func (e *WaitError) Error() string {
	text := title.Of(e.ID, e.Name) + ": " + e.Err.Error()
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Unwrap returns the context's error or [ErrClosed].
func (e *WaitError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrNoMinion] and no living minion can run the task.
func (e *WaitError) Is(target error) bool { return target == ErrNoMinion && e.Stuck }
