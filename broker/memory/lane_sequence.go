package memory

import (
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// sequence has the tasks with one sequence key that are pending and may not run yet, and knows
// which task may. It exists while a task waits in it or holds it, and while a failure halts it.
type sequence struct {
	name    string
	waiting ranked[laned, *laned]
	next    *laned // the task that is in its line, to be handed out next
	holder  *laned // the task that was handed out and has not ended
	// halts are the places of the tasks that halt the sequence, in order. The tasks behind the
	// first one wait.
	halts []uint64
}

// halted reports whether a task waits because an earlier one has failed.
func (s *sequence) halted(t *laned) bool { return len(s.halts) > 0 && s.halts[0] < t.position }

// sequence returns the sequence with a name. It makes it if necessary.
func (x *lanes) sequence(name string) *sequence {
	s, ok := x.sequences.Get(name)
	if !ok {
		s = &sequence{name: name}
		x.sequences.Put(name, s)
	}
	return s
}

// advance puts the first task of a sequence into its line, if no other task holds the sequence
// and none halts it. It forgets the sequence if nothing is left of it.
func (x *lanes) advance(s *sequence) {
	t := s.waiting.first()
	if t != nil && s.holder == nil && !s.halted(t) && (s.next == nil || t.before(s.next)) {
		s.waiting.remove(t)
		if later := s.next; later != nil { // t was requeued, and is older
			x.leave(later)
			s.waiting.add(later)
		}
		s.next = t
		x.join(t)
	}
	if s.holder == nil && s.next == nil && s.waiting.len() == 0 && len(s.halts) == 0 {
		x.sequences.Drop(s.name)
	}
}

// endLaned lets go of the sequence of a task that has ended.
func (q *queue) endLaned(r *record) {
	t, lane := r.lane, r.task.Lane
	halts := lane.StopOnFailure && (r.state == broker.StateFailed || r.state == broker.StateExpired)
	if t.sequence == nil && !halts {
		return // it has no sequence, or had no place in it yet
	}
	x := q.withLanes()
	s := x.sequence(lane.Sequence)
	if s.holder == t {
		s.holder = nil
	}
	t.sequence = nil
	if halts && t.position == 0 { // it has expired before it was pending: later tasks are behind it
		t.position = q.nextSeq()
	}
	at, found := slices.BinarySearch(s.halts, t.position)
	switch {
	case halts && !found:
		s.halts = slices.Insert(s.halts, at, t.position)
	case found && r.state == broker.StateSucceeded: // it has failed before, and was requeued
		s.halts = slices.Delete(s.halts, at, at+1)
	}
	x.advance(s)
}

// blockLaned takes the place of a task that becomes blocked, unless it holds its sequence.
func (x *lanes) blockLaned(t *laned) {
	s := t.sequence
	if s != nil && s.holder == t {
		return
	}
	t.position, t.sequence = 0, nil
	if s != nil {
		x.advance(s)
	}
}

// relane gives a blocked task the lane with which it is released.
func (q *queue) relane(r *record) {
	t, lane := r.lane, r.task.Lane
	if t == nil || lane == nil {
		r.lane = newLaned(r)
	}
	if t == nil || t.sequence == nil || lane != nil && lane.Sequence == t.sequence.name {
		return
	}
	s := t.sequence // it holds this one, and leaves it
	s.holder, t.sequence, t.position = nil, nil, 0
	q.lanes.advance(s)
}
