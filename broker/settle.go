package broker

import (
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/internal/base/cut"
)

// Settlement reports how one attempt ended.
type Settlement struct {
	// Delivery is the attempt, as Dequeue returned it. The broker reads its Minion, ID,
	// Name, Queue, Codec, Schema, Attempt, Start, Retried, Inbox, Unique, Meta and
	// retentions.
	Delivery *Delivery
	Verb     Verb
	Delay    time.Duration // with VerbRetry and VerbSnooze: 0 or less is at once; with VerbPark: how long it may be parked, more than 0; else without effect; at most MaxDuration
	// Unstarted says that no handler was started, so the attempt does not count as a start.
	// It is allowed with every verb.
	Unstarted bool
	// Await is the name of a signal for which the task waits; see [Steps]. It is allowed with
	// VerbSnooze only, else it is ErrInvalid. On a broker without Steps it is ErrUnsupported.
	Await   string
	Outcome Outcome // with VerbFinish: kept and pushed to the inbox; with VerbRetry: see LastFailure
	// Submit are tasks that are stored together with the settlement, as arrivals of the
	// queue of the settled task; see [Flows]. Either all of them are stored or the
	// settlement is refused. They are allowed with VerbFinish as succeeded only, else they
	// are ErrInvalid. On a broker without Flows they are ErrUnsupported. There may be up to
	// MaxBatch.
	Submit []*Task
}

// Verb is the kind of a [Settlement].
type Verb uint8

// The verbs.
const (
	// VerbFinish ends the task with Outcome, whose State must be final. A failed task
	// becomes a dead letter, unless its DeadFor is 0.
	VerbFinish Verb = iota
	// VerbRetry makes the task due again after Delay and counts a retry. If the Outcome has
	// an Err, a look-up shows it until the task ends or is retried with another one. A task
	// that was cancelled in the meantime ends as canceled instead.
	VerbRetry
	// VerbSnooze makes the task due again after Delay and does not count a retry. An
	// earlier failure is still shown. It clears Delivery.Afresh, unless it is Unstarted. A
	// task that was cancelled in the meantime ends as canceled instead.
	VerbSnooze
	// VerbGiveBack gives the task back unfinished, at once and to the front of its queue. It
	// counts only the number of the next attempt and, unless it is Unstarted, of the next
	// start. Several in one batch keep their order: the first is handed out first. A task
	// that was cancelled in the meantime ends as canceled instead.
	VerbGiveBack
	// VerbPark gives the task back because the consumer can't run it; see [Parker]. Like
	// VerbGiveBack it counts only the number of the next attempt and, unless it is
	// Unstarted, of the next start. A task that was cancelled in the meantime ends as
	// canceled instead. On a broker without Parker it is ErrUnsupported.
	VerbPark
)

// Starts returns how often a handler of the task was started, including this attempt.
func (s *Settlement) Starts() uint32 {
	if s.Unstarted {
		return max(s.Delivery.Start, 1) - 1
	}
	return s.Delivery.Start
}

// Check reports whether the settlement is valid and within the limits. The error wraps
// [ErrInvalid] or [ErrTooLarge].
func (s *Settlement) Check(l Limits) error {
	if s.Delivery == nil {
		return fmt.Errorf("settlement: %w: no delivery", ErrInvalid)
	}
	name := s.Delivery.Name
	switch {
	case s.Verb > VerbPark:
		return fmt.Errorf("task %s: %w: settlement verb %d", name, ErrInvalid, s.Verb)
	case s.Verb == VerbFinish && !s.Outcome.State.Final():
		return fmt.Errorf("task %s: %w: settled as %s, which is not a final state", name, ErrInvalid, s.Outcome.State)
	case s.Verb == VerbPark && s.Delay <= 0:
		return fmt.Errorf("task %s: %w: parked for %v, want more than 0", name, ErrInvalid, s.Delay)
	case s.Await != "" && s.Verb != VerbSnooze:
		return fmt.Errorf("task %s: %w: only a task that is snoozed can await a signal", name, ErrInvalid)
	case s.Delay > MaxDuration:
		return fmt.Errorf("task %s: %w: delay of %v, the limit is %v", name, ErrInvalid, s.Delay, MaxDuration)
	case len(s.Submit) > 0 && (s.Verb != VerbFinish || s.Outcome.State != StateSucceeded):
		return fmt.Errorf("task %s: %w: only a task that succeeded can submit others with its settlement", name, ErrInvalid)
	case len(s.Submit) > MaxBatch:
		return fmt.Errorf("task %s: %w: %d tasks to submit with the settlement, the limit is %d", name, ErrTooLarge, len(s.Submit), MaxBatch)
	case len(s.Outcome.Result) > l.Result:
		return fmt.Errorf("task %s: %w: result of %d bytes, the limit is %d", name, ErrTooLarge, len(s.Outcome.Result), l.Result)
	}
	if s.Await != "" {
		if err := CheckName("signal", s.Await); err != nil {
			return fmt.Errorf("task %s: %w", name, err)
		}
	}
	for _, t := range s.Submit {
		if err := t.Check(l); err != nil {
			return fmt.Errorf("task %s: submits %w", name, err)
		}
	}
	return nil
}

// Outcome is how a task ended.
type Outcome struct {
	State  State    // final: succeeded, failed, canceled or expired
	Codec  string   // name of the codec of Result; "" may be read back as "msgpack"
	Result []byte   // encoded result of a succeeded task; empty if it returns nothing
	Err    *Failure // nil if it succeeded, and if it was cancelled or expired while it waited

	Name     string    // name of the task
	Attempts uint32    // how often a handler was started; a start that the death of a minion may have prevented counts
	Retried  int       // how many retries were used
	Minion   ID        // the minion that settled it; zero if no minion ran it
	Enqueued time.Time // this and the next two by clients' clocks, in ms, for display only
	Started  time.Time // start of the settled attempt; zero if it never started
	Finished time.Time

	// ReplacedBy is the task that took the unique key of a canceled task; see [Conflict]. It is
	// zero if the task ended for another reason.
	ReplacedBy ID
}

// Failure is an error in its stored form.
type Failure struct {
	Type    string   // Go type of the error, such as "*fs.PathError"
	Message string   // text of the error, at most MaxMessage bytes
	Stack   string   // stack of a panic, at most MaxStack bytes
	Chain   []string // messages of the errors it wraps, outermost first
	Codes   []string // names of the registered errors it matches
	Final   bool     // the error was marked as not to be retried
	Seal    []byte   // the author's seal over the rest and the task; empty if its codec does not seal
}

// Trim cuts the message and the stack to their limits. A text that was cut ends in an ellipsis.
func (f *Failure) Trim() {
	f.Message = cut.To(f.Message, MaxMessage)
	f.Stack = cut.To(f.Stack, MaxStack)
}

// Status is the result of a look-up.
type Status struct {
	ID      ID
	State   State // StateUnknown if there is no record
	Queue   string
	Name    string            // name of the task; empty if the broker can't tell, which it always can once the outcome is kept
	Meta    map[string]string // the metadata that the task was enqueued with, in every state, whatever a Release gave it; nil if it has none
	Attempt uint32            // number of the start that runs or comes next, or of the last one; 0 if there was none, or the broker can't tell
	Minion  ID                // the owner while it runs; else zero
	Due     time.Time         // by the broker's clock: when it becomes pending, while it is scheduled, retrying, parked, or blocked with a Delay; else zero
	Failed  *LastFailure      // why the task is or was retried, until it is final; nil if no attempt has failed
	Outcome *Outcome          // set once it is final; nil if the outcome is no longer kept

	// Err says that the stored record can't be read. It wraps ErrMalformed or ErrVersion.
	// The state is then StateUnknown.
	Err error
}
