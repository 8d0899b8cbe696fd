package task

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// ErrNoMinion is found by errors.Is in a [WaitError] if no living minion can run the
// task: none serves its queue, or those that do have no handler of its name.
var ErrNoMinion = errors.New("no living minion can run the task")

// WaitError is the error of a wait that has ended before the task. It says what was
// last known of the task: the client looks when a wait has lasted for five seconds, and
// then once a minute; if the context has a deadline also when about half of the time is
// over, and never after its end. A wait that ends sooner has no Reason. The task goes
// on, and can be waited for again.
//
// It wraps the context's error, or [ErrClosed]. errors.Is also finds [ErrNoMinion] in it
// if no living minion could run the task.
type WaitError struct {
	ID   ID     // what was waited for; of a wait for several, one that is not done
	Name string // of the task; empty if it isn't known, and of a group or pipe

	Queue  string       // empty if it isn't known
	State  broker.State // StateUnknown if it isn't known
	Due    time.Time    // by the broker's clock, of a task that is scheduled or retrying
	Reason string       // why it is not done yet, as far as that is known: a sentence without its full stop
	Seen   time.Time    // when Reason was found out; zero if there is none

	// LastFailure is the error of the last attempt that failed, of a task that is
	// retried, or of one in the group or pipe; nil if no attempt has failed, or it isn't
	// known. Its Message has at most broker.MaxLastMessage bytes, and its Attempts is the
	// number of that attempt. errors.Is(e.LastFailure, err) finds registered errors in
	// it. It is not in what e wraps, since the task has not failed yet.
	LastFailure *RemoteError

	Stuck bool  // no living minion could run it: errors.Is(e, ErrNoMinion)
	Err   error // the context's error, or ErrClosed
}

// Error names the task, the reason and why the wait has ended.
func (e *WaitError) Error() string {
	text := Title(e.ID, e.Name) + ": " + e.Err.Error()
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Unwrap returns why the wait has ended.
func (e *WaitError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrNoMinion], and that is the reason.
func (e *WaitError) Is(target error) bool { return target == ErrNoMinion && e.Stuck }
