package brokertest

import "github.com/go-arbiter/arbiter/broker"

// keyInput is an operation on a task that has a unique key.
type keyInput struct {
	key string
	id  int     // the number of the task among those with that key
	act taskAct // actEnqueue, actSettle or actCancel
}

// keyOutput is the result of an operation.
type keyOutput struct {
	unknown bool
	holder  int // the holder that a refused enqueue named; -1 if it was accepted
	verdict broker.CancelVerdict
}

// keyState is the task that holds the key, -1 if none does, and the set of the tasks that have
// ended.
type keyState struct {
	holder int
	ended  uint64
}

// keyModel accepts the possible orders of operations on one key.
var keyModel = linearModel(keyState{holder: -1},
	func(in keyInput) string { return in.key },
	keyState.step,
	func(out keyOutput) bool { return out.unknown },
)

// step returns the state after an operation, and whether the operation can have that output. The
// model does not know whether the holder runs. A cancel of a running holder ends nothing.
func (s keyState) step(in keyInput, out keyOutput) (next keyState, ok bool) {
	next = s
	over := s.ended&(1<<in.id) != 0
	end := func() { next.holder, next.ended = -1, s.ended|1<<in.id }
	switch in.act {
	case actEnqueue:
		switch {
		case over, s.holder == in.id: // the task has been enqueued before
			return next, out.holder == -1
		case s.holder >= 0:
			return next, out.holder == s.holder
		}
		next.holder = in.id
		return next, out.holder == -1
	case actSettle:
		if s.holder == in.id {
			end()
		}
		return next, s.holder == in.id || over
	}
	switch { // actCancel
	case over:
		return next, out.verdict == broker.CancelTooLate
	case s.holder != in.id:
		return next, out.verdict == broker.CancelUnknown
	case out.verdict == broker.CancelPrevented || out.unknown:
		end()
		return next, true
	}
	return next, out.verdict == broker.CancelRequested
}
