package arbiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/internal/engine/title"
	"github.com/go-arbiter/arbiter/task"
)

// ErrResultOmitted is wrapped by the error of [Status.Decode] if the result was left out of the status of a group. The status
// of the task itself has the result.
var ErrResultOmitted = errors.New("the result was left out")

// ErrNotDone is wrapped by the error of [Status.Decode] for a task that is not done, and so has no result.
var ErrNotDone = errors.New("the task is not done")

// Status describes a task, a group or a pipe. [Status.State] is its state; the other fields give details. The JSON form
// has the keys of the original Arbiter and some more; see [Status.MarshalJSON].
type Status struct {
	ID task.ID
	// Type is task, group or pipe; a squad is a group. Among the Tasks of a [FlowStatus] it is also callback or finalize.
	Type  string
	Queue string
	// State is broker.StateScheduled, StateBlocked, StatePending, StateRunning, StateRetrying or StateParked for a task
	// that is not done, and StateSucceeded, StateFailed, StateCanceled or StateExpired for one that is done; its method
	// Final distinguishes the two. A group or pipe is StatePending until one of its tasks has started, and then
	// StateRunning until it has ended. A member that is not stored yet is StateBlocked: it waits for the rest of its
	// group. StateUnknown is only in a status that is returned together with an error. [Status.Phase] has the original's
	// word.
	State broker.State

	// Attempts is how often the task was started. While a minion has the task, that includes the current attempt, even if
	// its handler has not begun yet. It is 0 if the task was not started, or if the broker can't tell.
	Attempts int
	Minion   task.ID   // the minion that runs it or has settled it; zero if there is none
	Due      time.Time // when a scheduled or retrying task is due, or minion.ParkFor of a parked task is over, by the broker's clock

	// Name is the name of the task. It is empty if the broker can't tell it: Redis does not know the name of a task that
	// is pending and has not failed yet, nor of one that was killed before it ran.
	Name string
	// Meta is the metadata that the task was sent with, in every state. It is nil if the task has none, and for members
	// that are done in a group's [FlowStatus].
	Meta map[string]string

	// Error is the error with which the task failed. Until the task is done, it is the error of the last failed attempt:
	// ErrorAttempt is the number of that attempt, and ErrorAt its time, by the minion's clock. It is present while the
	// task waits for a retry and while the next attempt runs. Its message is cut to 2 KiB then, and its stack to 4 KiB.
	Error        *Failure
	ErrorAttempt int       // 0 once the task is done
	ErrorAt      time.Time // zero once the task is done

	// These are known once the task is done, as long as its result is kept.
	Retried int // how many retries were used
	// Enqueued is by the clock of the process that sent the task, the others by the minion's; zero if unknown.
	Enqueued, Started, Finished time.Time

	// ResultOmitted says that the task has a result that was left out of the status of its group; see [FlowStatus].
	ResultOmitted bool

	// Flow describes the members of a group or pipe. It is nil for a task.
	Flow *FlowStatus

	outcome seal.Opened // its Outcome is nil if it is not known, or if its seal does not match
	bad     error       // why the seal of the outcome does not match; nil if it does
	failed  *broker.LastFailure
}

// Failure is the error of a task as its minion reported it.
type Failure struct {
	Type    string   `json:"type"`              // the Go type of the handler's error, such as "*fs.PathError"
	Message string   `json:"message"`           // its message
	Stack   string   `json:"stack,omitempty"`   // the stack of a panic; empty for an error that was returned
	Chain   []string `json:"chain,omitempty"`   // the messages of the errors that it wraps, outermost first
	Final   bool     `json:"final,omitempty"`   // it was marked with task.NoRetry
	Matches []string `json:"matches,omitempty"` // the names of the registered errors that it wraps
}

// Status returns the state of a task, or of a group or pipe with its members and their results; see [FlowStatus], and
// [CountsOnly] for large groups that are looked up often. Any process can look up any task, as long as its result is kept.
//
// The error wraps [task.ErrNotFound] if the task is unknown or no longer kept, [task.ErrUnavailable] or
// [task.ErrClosed]. If the broker's record of the task can't be read, it is the error of reading it.
func (a *Arbiter) Status(ctx context.Context, id task.ID, opts ...StatusOption) (Status, error) {
	var cfg statusConfig
	for _, o := range opts {
		if o != nil {
			o.applyStatus(&cfg)
		}
	}
	if client.IsFlow(id) {
		return a.flowStatus(ctx, id, cfg)
	}
	if err := a.open(); err != nil {
		return Status{ID: id}, fmt.Errorf("status of task %s: %w", id, err)
	}
	found, err := a.b.Lookup(ctx, []task.ID{id})
	if err != nil {
		return Status{ID: id}, fmt.Errorf("status of task %s: %w", id, err)
	}
	if len(found) == 1 && found[0].Err != nil {
		return Status{ID: id}, fmt.Errorf("status of task %s: %w", id, found[0].Err)
	}
	if len(found) != 1 || found[0].State == broker.StateUnknown {
		return Status{ID: id}, fmt.Errorf("task %s: %w", id, broker.ErrNotFound)
	}
	return a.found(&found[0], found[0].Outcome), nil
}

// found returns the status of a task from a look-up. The outcome o is that of f, perhaps without its result.
func (a *Arbiter) found(f *broker.Status, o *broker.Outcome) Status {
	st := a.status(f.ID, f.Queue, f.State, o)
	st.Due, st.Meta = f.Due, seal.OpenMeta(a.codecs, f.ID, f.Meta)
	if o != nil {
		return st
	}
	st.Name, st.Attempts, st.Minion = f.Name, int(f.Attempt), f.Minion
	if l := seal.OpenLastFailure(a.codecs, f.ID, f.Failed); l != nil {
		st.failed = l
		st.Error, st.ErrorAttempt, st.ErrorAt = failure(&l.Err), int(l.Attempt), l.At
	}
	return st
}

func failure(f *broker.Failure) *Failure {
	return &Failure{
		Type: f.Type, Message: f.Message, Stack: f.Stack,
		Chain: f.Chain, Final: f.Final, Matches: f.Codes,
	}
}

// open returns an error that wraps ErrClosed if the arbiter or its broker is closed.
func (a *Arbiter) open() error {
	select {
	case <-a.client.Done():
		return a.client.Why()
	default:
		return nil
	}
}

func (a *Arbiter) arrived(arrival *client.Completion) Status {
	return a.status(arrival.ID, arrival.Queue, arrival.State, arrival.Outcome)
}

func (a *Arbiter) status(id task.ID, queue string, state broker.State, o *broker.Outcome) Status {
	st := Status{ID: id, Type: client.KindName(id), Queue: queue, State: state}
	if o == nil {
		return st
	}
	st.Name, st.Attempts, st.Retried, st.Minion = o.Name, int(o.Attempts), o.Retried, o.Minion
	st.Enqueued, st.Started, st.Finished = o.Enqueued, o.Started, o.Finished
	if st.outcome, st.bad = seal.OpenOutcome(a.codecs, id, o); st.bad != nil {
		// The process that stored the outcome lacks the key, so nothing in it can be trusted.
		st.bad = fmt.Errorf("%s: %w", title.Of(id, o.Name), st.bad)
		st.State, st.Error = broker.StateFailed, &Failure{Type: fmt.Sprintf("%T", st.bad), Message: st.bad.Error()}
		return st
	}
	if err := st.outcome.Err; err != nil {
		st.Error = failure(err)
	}
	return st
}

// Phase returns the original's word for the state: initiated, running or done. It is empty for StateUnknown.
func (st Status) Phase() broker.Phase { return st.State.Phase() }

// Err returns the error of the task, as a future of it returns it: nil if the task succeeded, a [*task.RemoteError] if it
// failed, or an error that wraps [task.ErrCanceled] or [task.ErrExpired]. If the task is not done, Err returns the
// [*task.RemoteError] of the last failed attempt, or nil if none has failed; the task may still succeed.
func (st Status) Err() error {
	if !st.State.Final() {
		if l := st.failed; l != nil {
			return task.NewRemoteError(st.ID, &broker.Outcome{Name: st.Name, Attempts: l.Attempt, Err: &l.Err})
		}
		return nil
	}
	if st.bad != nil {
		return st.bad
	}
	o := st.outcome.Outcome
	if o == nil { // not kept; use the state alone
		o = &broker.Outcome{State: st.State, Name: st.Name}
	}
	return client.Error(st.ID, o)
}

// Decode decodes the result into the pointer v. A task without a result leaves a [task.None] or an interface unchanged, and is
// an error for any other v. If v is nil, the result is dropped. The error is
//
//   - the error of [Status.Err], if the task did not succeed,
//   - one that wraps [ErrNotDone], [ErrResultOmitted], or [task.ErrNotFound] if the result is no longer kept,
//   - a [*codec.Error], if the result does not fit v.
func (st Status) Decode(v any) error {
	if !st.State.Final() {
		return fmt.Errorf("task %s: %w", st.ID, ErrNotDone)
	}
	if err := st.Err(); err != nil {
		return err
	}
	if st.ResultOmitted {
		return fmt.Errorf("task %s (%s): %w of the status of its group; look up the status of the task", st.Name, st.ID, ErrResultOmitted)
	}
	if st.outcome.Outcome == nil {
		return fmt.Errorf("task %s: %w: its result is no longer kept", st.ID, broker.ErrNotFound)
	}
	return client.DecodeOpened(st.ID, st.outcome, v)
}

// Result returns the result as the codec decodes it into the type any: int64 or uint64, float64, string, bool, nil, []any,
// map[string]any and so on. The errors are those of [Status.Decode].
func (st Status) Result() (any, error) {
	var v any
	err := st.Decode(&v)
	return v, err
}
