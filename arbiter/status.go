package arbiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/internal/flow"
	"github.com/go-arbiter/arbiter/internal/seal"
	"github.com/go-arbiter/arbiter/task"
)

// Outcome says how a task ended.
type Outcome string

// The outcomes. A task that isn't done has none.
const (
	Succeeded Outcome = "succeeded" // its handler returned without an error
	Failed    Outcome = "failed"    // its handler's error was the last word
	Canceled  Outcome = "canceled"  // it was killed
	Expired   Outcome = "expired"   // its deadline passed first
)

// ErrResultOmitted is wrapped by the error of [Status.Decode] for a task whose result
// was left out of the status of its group: the status of the task itself has it.
var ErrResultOmitted = errors.New("the result was left out")

// ErrNotDone is wrapped by the error of [Status.Decode] for a task that has no
// result yet.
var ErrNotDone = errors.New("the task is not done")

// Status is what is known of a task, or of a group or pipe. It marshals to JSON with
// the keys of the original Arbiter, and some beside them; see [Status.MarshalJSON].
type Status struct {
	ID task.ID
	// Type is task, group or pipe; or, among the tasks of a [FlowStatus], callback or
	// finalize for what follows its members.
	Type    string
	Queue   string
	State   broker.Phase // initiated, running or done
	Detail  broker.State // the same in more detail, such as retrying
	Outcome Outcome      // once it is done

	// Attempts is how often the task was started, with the start that runs or is about
	// to; 0 if it was not, or if the broker can't tell.
	Attempts int
	Minion   task.ID   // who runs it, or settled it; zero if nobody did
	Due      time.Time // by the broker's clock, while it waits for its time; while it is parked, when that ends

	// Name is the name of the task. Redis can't tell it of a task that is pending and
	// has not failed yet, nor of one that was killed before it ran: then it is empty.
	Name string
	// Meta is the metadata that the task was sent with, in every state; nil if it has
	// none. It is not known of members of a group or pipe that are done, among their
	// group's [FlowStatus].
	Meta map[string]string

	// Error is why the task failed. Until the task is done it is why the last attempt
	// that failed did, number ErrorAttempt, at ErrorAt by the minion's clock: so it
	// is there while the task is to be retried, and while its next attempt runs.
	// Its message is cut to 2 KiB then, and its stack to 4 KiB.
	Error        *Failure
	ErrorAttempt int       // 0 once the task is done
	ErrorAt      time.Time // zero once the task is done

	// Known once the task is done, and as long as its result is kept.
	Retried int // how many retries were used
	// By the clocks of the arbiter and of the minion; zero if unknown.
	EnqueuedAt, StartedAt, FinishedAt time.Time

	// ResultOmitted says that there is a result, which was left out of the status of a
	// group; see [FlowStatus].
	ResultOmitted bool

	// Flow has what is known of the members; nil unless it is a group or pipe.
	Flow *FlowStatus

	outcome seal.Opened // its Outcome is nil if that is not known or not believed
	bad     error       // why it is not believed
	failed  *broker.LastFailure
}

// Failure is the error of a task, as it came from the minion.
type Failure struct {
	Type    string   `json:"type"`              // Go type of the error there, such as "*fs.PathError"
	Message string   `json:"message"`           // what its Error returned
	Stack   string   `json:"stack,omitempty"`   // where it panicked; empty for a returned error
	Chain   []string `json:"chain,omitempty"`   // messages of the errors it wraps, outermost first
	Final   bool     `json:"final,omitempty"`   // it was marked as not to be retried
	Matches []string `json:"matches,omitempty"` // names of the registered errors that it is
}

// Status looks a task up, or a group or pipe with its members and their results; see
// [FlowStatus], and [CountsOnly] for large groups that are asked for often. Any
// process may ask for any task, as long as its result is kept. The error wraps
// [task.ErrNotFound] if the task is unknown, or [task.ErrUnavailable] or
// [task.ErrClosed]. It says so if what the broker keeps of the task can't be read.
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

// found returns the status of a task that was looked up. The outcome is that of f,
// perhaps without its result.
func (a *Arbiter) found(f *broker.Status, o *broker.Outcome) Status {
	st := a.status(f.ID, f.Queue, f.State, o)
	st.Due, st.Meta = f.Due, withoutReason(seal.OpenMeta(a.codecs, f.ID, f.Meta))
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

// withoutReason returns metadata without what the library put there.
func withoutReason(meta map[string]string) map[string]string {
	if delete(meta, flow.ReasonKey); len(meta) == 0 {
		return nil
	}
	return meta
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

func (a *Arbiter) arrived(arrival *client.Arrival) Status {
	return a.status(arrival.ID, arrival.Queue, arrival.State, arrival.Outcome)
}

func (a *Arbiter) status(id task.ID, queue string, state broker.State, o *broker.Outcome) Status {
	st := Status{
		ID: id, Type: client.KindName(id), Queue: queue, State: state.Phase(), Detail: state,
	}
	if state.Final() {
		st.Outcome = Outcome(state.String())
	}
	if o == nil {
		return st
	}
	st.Name, st.Attempts, st.Retried, st.Minion = o.Name, int(o.Attempts), o.Retried, o.Minion
	st.EnqueuedAt, st.StartedAt, st.FinishedAt = o.Enqueued, o.Started, o.Finished
	if st.outcome, st.bad = seal.OpenOutcome(a.codecs, id, o); st.bad != nil {
		// Whoever has stored it lacks the key, so nothing is known but that it is there.
		st.bad = fmt.Errorf("%s: %w", task.Title(id, o.Name), st.bad)
		st.Outcome, st.Error = Failed, &Failure{Type: fmt.Sprintf("%T", st.bad), Message: st.bad.Error()}
		return st
	}
	if err := st.outcome.Err; err != nil {
		st.Error = failure(err)
	}
	return st
}

// Err returns the error that a future of the task would give: nil if the task
// succeeded, a [*task.RemoteError] if it failed, and one that wraps
// [task.ErrCanceled] or [task.ErrExpired]. Of a task that is not done it is the
// [*task.RemoteError] of the last attempt that failed, and nil if none has: it may
// still succeed.
func (st Status) Err() error {
	if st.State != broker.PhaseDone {
		if l := st.failed; l != nil {
			return task.NewRemoteError(st.ID, &broker.Outcome{Name: st.Name, Attempts: l.Attempt, Err: &l.Err})
		}
		return nil
	}
	if st.bad != nil {
		return st.bad
	}
	o := st.outcome.Outcome
	if o == nil { // not kept; the state alone must do
		o = &broker.Outcome{State: st.Detail, Name: st.Name}
	}
	return client.Error(st.ID, o)
}

// Decode decodes the result into the pointer v. A task that returns nothing
// leaves a [task.None] or an interface as it is, and is an error for any other v. The error is that of [Status.Err]; or it wraps
// [ErrNotDone], or [ErrResultOmitted], or [task.ErrNotFound] if the result isn't kept any more; or it
// is a [*codec.Error], if the result is no such value.
func (st Status) Decode(v any) error {
	if st.State != broker.PhaseDone {
		return fmt.Errorf("task %s: %w", st.ID, ErrNotDone)
	}
	if err := st.Err(); err != nil {
		return err
	}
	if st.ResultOmitted {
		return fmt.Errorf("task %s (%s): %w of the status of its group; ask for the status of the task", st.Name, st.ID, ErrResultOmitted)
	}
	if st.outcome.Outcome == nil {
		return fmt.Errorf("task %s: %w: its result is not kept any more", st.ID, broker.ErrNotFound)
	}
	return client.DecodeOpened(st.ID, st.outcome, v)
}

// Result returns the result by the codec's rule for the type any: int64 or
// uint64, float64, string, bool, nil, []any, map[string]any and so on. The
// errors are those of [Status.Decode].
func (st Status) Result() (any, error) {
	var v any
	err := st.Decode(&v)
	return v, err
}
