package brokertest

import "github.com/go-arbiter/arbiter/broker"

// keyInput is an operation on a task that has a unique key.
type keyInput struct {
	key string
	id  int     // of the tasks with that key
	act taskAct // actEnqueue, actSettle or actCancel
}

// keyOutput is what came of it.
type keyOutput struct {
	unknown bool
	holder  int // of the key, by the word of an enqueue that was refused; -1 if it was not
	verdict broker.CancelVerdict
}

// keyState is who holds a key, -1 for nobody, and which tasks were there and have
// ended.
type keyState struct {
	holder int
	ended  uint64
}

// keyModel says in which orders operations on one key can have happened.
var keyModel = linearModel(keyState{holder: -1},
	func(in keyInput) string { return in.key },
	keyState.step,
	func(out keyOutput) bool { return out.unknown },
)

// step returns the state after an operation, and whether it can have that output.
// Whether the holder runs is left open: a cancel that finds it so ends nothing.
func (s keyState) step(in keyInput, out keyOutput) (next keyState, ok bool) {
	next = s
	over := s.ended&(1<<in.id) != 0
	end := func() { next.holder, next.ended = -1, s.ended|1<<in.id }
	switch in.act {
	case actEnqueue:
		switch {
		case over, s.holder == in.id: // a repetition
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
