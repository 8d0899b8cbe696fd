package broker

import "fmt"

// State is the state of a task in its life cycle. [Transitions] lists the possible changes.
type State uint8

// The states. The values are on the wire: new ones are added at the end.
const (
	StateUnknown   State = iota // no record: never enqueued, or its retention has ended
	StateScheduled              // waits for its time, which is set by Task.Delay
	StateBlocked                // waits for other tasks, see [Flows]; for the holder of its unique key, see [Conflict]; or for the end of a halt, see [Halter]
	StatePending                // ready to be taken by a minion
	StateRunning                // owned by a minion
	StateRetrying               // failed or snoozed, waits for its next attempt
	StateSucceeded              // final: the handler returned without an error
	StateFailed                 // final: it failed, and is not retried any more
	StateCanceled               // final: killed
	StateExpired                // final: its deadline passed first
	StateParked                 // waits for a minion that can run it; see [Parker]
)

// Phase is a coarse state, in the words of the Python original.
type Phase string

// The phases.
const (
	PhaseUnknown   Phase = ""
	PhaseInitiated Phase = "initiated" // scheduled, blocked, pending, retrying or parked
	PhaseRunning   Phase = "running"
	PhaseDone      Phase = "done" // any final state
)

// Transition is one possible change of a task's state.
type Transition struct {
	From  State
	To    State
	Cause string // the event that causes it
}

// Transitions returns the life cycle of a task. Brokers obey it, brokertest checks it, and
// docs/architecture.md draws it. A task that is retried or snoozed with a Delay of 0 or less
// may be pending at once.
func Transitions() []Transition {
	return []Transition{
		{StateUnknown, StateScheduled, "enqueue with a delay"},
		{StateUnknown, StatePending, "enqueue"},
		{StateUnknown, StateBlocked, "enqueue as a member that waits for others, or behind the holder of a unique key"},
		{StateScheduled, StatePending, "its time has come"},
		{StateScheduled, StateCanceled, "cancel"},
		{StateScheduled, StateExpired, "its deadline has passed"},
		{StateBlocked, StatePending, "released: the tasks before it are done, or the holder of its unique key"},
		{StateBlocked, StateScheduled, "the holder of its unique key is done, and its own time has not come"},
		{StateBlocked, StateRunning, "assigned to a minion"},
		{StateBlocked, StateCanceled, "cancel"},
		{StateBlocked, StateExpired, "its deadline has passed"},
		{StatePending, StateRunning, "dequeue"},
		{StatePending, StateBlocked, "it is its turn, and its flow is halted"},
		{StatePending, StateCanceled, "cancel"},
		{StatePending, StateExpired, "its deadline has passed"},
		{StatePending, StateFailed, "it was parked for too long, and its queue has no minion"},
		{StateRunning, StateSucceeded, "settle"},
		{StateRunning, StateFailed, "settle"},
		{StateRunning, StateCanceled, "settle after cancel, or its minion died after cancel"},
		{StateRunning, StateExpired, "settle after its deadline"},
		{StateRunning, StateRetrying, "settle: retry or snooze"},
		{StateRunning, StatePending, "given back, or its minion died"},
		{StateRunning, StateParked, "settle: its minion can't run it"},
		{StateParked, StateRunning, "dequeue by a minion that can run it"},
		{StateParked, StateBlocked, "it is its turn, and its flow is halted"},
		{StateParked, StatePending, "no such minion came in time"},
		{StateParked, StateFailed, "no such minion came in time, and its queue has none at all"},
		{StateParked, StateCanceled, "cancel"},
		{StateParked, StateExpired, "its deadline has passed"},
		{StateRetrying, StatePending, "its time has come"},
		{StateRetrying, StateCanceled, "cancel"},
		{StateRetrying, StateExpired, "its deadline has passed"},
		{StateFailed, StatePending, "requeued by an operator"},
	}
}

var stateNames = [...]string{
	"unknown", "scheduled", "blocked", "pending", "running", "retrying",
	"succeeded", "failed", "canceled", "expired", "parked",
}

// String returns the state's name in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Final reports whether the task has ended: it is succeeded, failed, canceled or expired.
func (s State) Final() bool { return s >= StateSucceeded && s <= StateExpired }

// Phase returns the original's word for the state.
func (s State) Phase() Phase {
	switch {
	case s.Final():
		return PhaseDone
	case s == StateRunning:
		return PhaseRunning
	case s == StateUnknown || s > StateParked:
		return PhaseUnknown
	default:
		return PhaseInitiated
	}
}
