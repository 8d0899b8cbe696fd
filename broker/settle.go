package broker

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// Settlement says what became of one attempt.
type Settlement struct {
	Delivery *Delivery // as Dequeue returned it; the broker reads its Minion, ID, Name, Queue, Codec, Schema, Attempt, Start, Retried, Inbox, Unique, Meta and retentions
	Verb     Verb
	Delay    time.Duration // of VerbRetry and VerbSnooze: 0 or less is at once; of VerbPark: how long it may be parked, more than 0
	// Unstarted says that no handler was started. The attempt does not count as a start
	// then.
	Unstarted bool
	Outcome   Outcome // of VerbFinish: what is kept and pushed to the inbox; of VerbRetry: see LastFailure
	// Submit are tasks that are stored with VerbFinish as succeeded, as arrivals of
	// the queue; see [Flows]. All of them are stored, or the settlement is refused.
	// With any other verb or state they are ErrInvalid, on a broker without Flows
	// ErrUnsupported. Up to MaxBatch.
	Submit []*Task
}

// Verb is what a [Settlement] does.
type Verb uint8

// The verbs.
const (
	// VerbFinish ends the task with Outcome, whose State is final. A failed
	// task becomes a dead letter.
	VerbFinish Verb = iota
	// VerbRetry makes it due again after Delay and counts a retry. If the Outcome
	// has an Err, a look-up shows it until the task ends, or is retried with
	// another one. A task that was cancelled meanwhile ends as canceled instead.
	VerbRetry
	// VerbSnooze is VerbRetry without counting a retry. An earlier failure stays.
	VerbSnooze
	// VerbRelease gives it back unfinished, to the front of its queue and at
	// once; nothing is counted but the number of the next attempt and, unless it is
	// Unstarted, of the next start. Several in one
	// batch keep their order: the first is handed out first. A task that was
	// cancelled meanwhile ends as canceled instead.
	VerbRelease
	// VerbPark gives it back unfinished, since the consumer can't run it; see
	// [Parker]. Nothing is counted but the number of the next attempt. A task that was
	// cancelled meanwhile ends as canceled instead. On a broker without Parker it is
	// ErrUnsupported.
	VerbPark
)

// Starts returns how often a handler of the task was started, with this attempt.
func (s *Settlement) Starts() uint32 {
	if s.Unstarted {
		return max(s.Delivery.Start, 1) - 1
	}
	return s.Delivery.Start
}

// Check reports whether the settlement makes sense and fits the limits. The
// error wraps [ErrInvalid] or [ErrTooLarge].
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
	case s.Delay > MaxDuration:
		return fmt.Errorf("task %s: %w: delay of %v, the limit is %v", name, ErrInvalid, s.Delay, MaxDuration)
	case len(s.Submit) > 0 && (s.Verb != VerbFinish || s.Outcome.State != StateSucceeded):
		return fmt.Errorf("task %s: %w: only a task that succeeded can submit others with its settlement", name, ErrInvalid)
	case len(s.Submit) > MaxBatch:
		return fmt.Errorf("task %s: %w: %d tasks to submit with the settlement, the limit is %d", name, ErrTooLarge, len(s.Submit), MaxBatch)
	case len(s.Outcome.Result) > l.Result:
		return fmt.Errorf("task %s: %w: result of %d bytes, the limit is %d", name, ErrTooLarge, len(s.Outcome.Result), l.Result)
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
	State  State  // final
	Codec  string // of Result
	Result []byte // of a succeeded task; empty if it returns nothing
	Err    *Failure

	Name     string    // of the task
	Attempts uint32    // how often a handler was started; a start that a minion's death may have prevented counts
	Retried  int       // how many retries were used
	Minion   ID        // who settled it; zero if nobody ran it
	Enqueued time.Time // these three by clients' clocks, in ms, for display only
	Started  time.Time // of the attempt that was settled; zero if it never started
	Finished time.Time
}

// Failure is an error as it travels.
type Failure struct {
	Type    string   // Go type of the error, such as "*fs.PathError"
	Message string   // what Error() returned, at most MaxMessage bytes
	Stack   string   // of a panic, at most MaxStack bytes
	Chain   []string // messages of the errors it wraps, outermost first
	Codes   []string // names of the registered errors it matches
	Final   bool     // it was marked as not to be retried
	Seal    []byte   // of who has made it, over the rest and the task; empty if its codec does not seal
}

// Trim cuts message and stack to their limits, between characters.
func (f *Failure) Trim() {
	f.Message = cut(f.Message, MaxMessage)
	f.Stack = cut(f.Stack, MaxStack)
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Status is what a look-up finds of a task.
type Status struct {
	ID      ID
	State   State // StateUnknown if there is no record
	Queue   string
	Name    string            // of the task; empty if the broker can't tell, which it always can once the outcome is kept
	Meta    map[string]string // as the task was enqueued with, in every state; nil if it has none
	Attempt uint32            // number of the start that runs or is about to, or of the last one; 0 if there was none, or the broker can't tell
	Minion  ID                // the owner while it runs
	Due     time.Time         // by the broker's clock, while scheduled or retrying; while parked, when that ends
	Failed  *LastFailure      // until the task is final: why it is, or was, retried; nil if no attempt has failed
	Outcome *Outcome          // once it is final; nil if the outcome is no longer kept

	// Err says that what the broker keeps of the task can't be read. It wraps
	// ErrMalformed or ErrVersion. The state is StateUnknown then.
	Err error
}
