package brokertest

import "github.com/go-arbiter/arbiter/broker"

// taskAct is the kind of an operation on a task.
type taskAct uint8

const (
	actEnqueue taskAct = iota
	actTake            // a dequeue returns the task
	actSettle          // its owner settles it as succeeded
	actCancel
	actLook
)

// taskInput is an operation on a task.
type taskInput struct {
	id  broker.ID
	act taskAct
}

// taskOutput is the result of an operation.
type taskOutput struct {
	unknown bool // it is not known whether the operation has taken effect
	verdict broker.CancelVerdict
	state   broker.State // the result of actLook
}

// taskState is the state of a task as these clients can see it: unknown, pending, running,
// succeeded or canceled. marked means that it was cancelled while it ran.
type taskState struct {
	state  broker.State
	marked bool
}

// taskModel accepts the possible orders of operations on one task.
var taskModel = linearModel(taskState{},
	func(in taskInput) broker.ID { return in.id },
	func(s taskState, in taskInput, out taskOutput) (taskState, bool) { return s.step(in.act, out) },
	func(out taskOutput) bool { return out.unknown },
)

// step returns the state after an operation, and whether the operation can have that output.
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
	case actSettle: // a repeat of the same settlement is accepted
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
