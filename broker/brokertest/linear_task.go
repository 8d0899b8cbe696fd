package brokertest

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/go-arbiter/arbiter/broker"
)

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
var taskModel = (&porcupine.NondeterministicModel{
	Partition: byKey(func(in any) broker.ID { return in.(taskInput).id }),
	Init:      func() []any { return []any{taskState{}} },
	Step: func(state, input, output any) []any {
		s, in, out := state.(taskState), input.(taskInput), output.(taskOutput)
		next, ok := s.step(in.act, out)
		switch {
		case out.unknown && next != s:
			return []any{s, next}
		case out.unknown || ok:
			return []any{next}
		}
		return nil
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}).ToModel()

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

// byKey cuts a history by what its operations are about.
func byKey[K comparable](key func(input any) K) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(history []porcupine.Operation) [][]porcupine.Operation {
		place := make(map[K]int)
		var parts [][]porcupine.Operation
		for _, op := range history {
			k := key(op.Input)
			at, known := place[k]
			if !known {
				at = len(parts)
				place[k], parts = at, append(parts, nil)
			}
			parts[at] = append(parts[at], op)
		}
		return parts
	}
}
