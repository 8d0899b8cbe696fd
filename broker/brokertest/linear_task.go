package brokertest

import "github.com/go-arbiter/arbiter/broker"

// taskAct is what a client does to a task.
type taskAct uint8

const (
	actEnqueue taskAct = iota
	actTake            // it comes with a dequeue
	actSettle          // as succeeded, by its owner
	actCancel
	actLook
)

// taskInput is an operation on a task.
type taskInput struct {
	id  broker.ID
	act taskAct
}

// taskOutput is what came of it.
type taskOutput struct {
	unknown bool // whether it has taken effect
	verdict broker.CancelVerdict
	state   broker.State // of actLook
}

// taskState is the life of a task as far as these clients can see it: unknown,
// pending, running, succeeded or canceled, and whether it was cancelled while it ran.
type taskState struct {
	state  broker.State
	marked bool
}

// taskModel says in which orders operations on one task can have happened.
var taskModel = linearModel(taskState{},
	func(in taskInput) broker.ID { return in.id },
	func(s taskState, in taskInput, out taskOutput) (taskState, bool) { return s.step(in.act, out) },
	func(out taskOutput) bool { return out.unknown },
)

// step returns the state after an operation, and whether it can have that output.
func (s taskState) step(act taskAct, out taskOutput) (next taskState, ok bool) {
	next = s
	switch act {
	case actEnqueue:
		if s.state == broker.StateUnknown {
			next.state = broker.StatePending
		}
		return next, true
	case actTake:
		next.state = broker.StateRunning
		return next, s.state == broker.StatePending
	case actSettle: // again if it was settled so before
		if s.state == broker.StateRunning {
			next.state = broker.StateSucceeded
		}
		return next, s.state == broker.StateRunning || s.state == broker.StateSucceeded
	case actCancel:
		want := broker.CancelTooLate
		switch s.state {
		case broker.StateUnknown:
			want = broker.CancelUnknown
		case broker.StatePending:
			want, next.state = broker.CancelPrevented, broker.StateCanceled
		case broker.StateRunning:
			want, next.marked = broker.CancelRequested, true
		}
		return next, out.verdict == want
	}
	return next, out.state == s.state
}
