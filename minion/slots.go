package minion

// A slot is one unit of a minion's concurrency. All arithmetic on slots is in this file.
// A slot is free, busy or reserved:
//
//	take           free     → busy      a handler starts
//	end            busy     → free      it has returned
//	lend           busy     → free      it waits for another task
//	reclaim        any      → busy      its wait is over, whether or not a slot is free
//	reserve        free     → reserved  for the members of a squad
//	takeReserved   reserved → busy      a member starts
//	unreserve      reserved → free      the squad does not need the slot
//
// The invariant: busy + reserved is at most total, plus the number of running handlers
// that have reclaimed a lent slot. Only reclaim can exceed total. No handler starts and no
// slot is reserved after that, until busy + reserved is less than total again.
//
// Two kinds of attempts have no slot yet and are meant to get one: those that wait in the
// prefetch queue, and members of squads whose start is undecided. Squads, and further
// dequeues, can only have the slots that both leave over.

// slots counts what the slots of a run are used for. It has no lock of its own. run.mu
// guards it, because a slot changes hands together with the attempt that uses it.
type slots struct {
	total     int
	busy      int // running handlers; may exceed total, see reclaim
	lent      int // handlers that wait for other tasks and have lent their slots
	reserved  int // for squads, including members that may start and have not yet
	undecided int // members of squads that have no slot, and may or may not start
}

// slotUse is the use of a slot by one attempt.
type slotUse struct {
	waits int32 // how many goroutines of the handler wait for other tasks
	lent  bool
	over  bool // the attempt has ended
}

// maxLent bounds how many handlers wait in addition to those that run, because each keeps
// its memory. Further handlers keep their slots while they wait.
const maxLent = 10_000

// used returns the number of slots that are busy or reserved. It may exceed total.
func (s *slots) used() int { return s.busy + s.reserved }

// free returns the number of slots that are neither busy nor reserved.
func (s *slots) free() int { return max(s.total-s.used(), 0) }

// claimed returns the number of slots that are used, or meant for attempts that have none
// yet. queued is how many attempts wait in the prefetch queue.
func (s *slots) claimed(queued int) int { return s.used() + s.undecided + queued }

// spare returns the number of slots that are free and not meant for an attempt.
func (s *slots) spare(queued int) int { return max(s.total-s.claimed(queued), 0) }

// room returns how many tasks may be dequeued now, with up to pace of them prefetched.
// While all slots are claimed it returns 0 until half the pace is free, so that requests
// fetch many tasks instead of few.
func (s *slots) room(queued, pace int) int {
	claimed := s.claimed(queued)
	n := s.total + pace - claimed
	if claimed >= s.total && n < (pace+1)/2 {
		return 0
	}
	return max(n, 0)
}

// load returns the number of used slots, as the broker is told: at most total.
func (s *slots) load() int { return min(s.used(), s.total) }

// handlers returns the number of handlers that run or wait for other tasks.
func (s *slots) handlers() int { return s.busy + s.lent }

// take gives a free slot to a handler. It reports false if there is none.
func (s *slots) take() bool {
	if s.free() == 0 {
		return false
	}
	s.busy++
	return true
}

// takeReserved gives a reserved slot to a member of the squad that it is reserved for.
func (s *slots) takeReserved() {
	s.reserved--
	s.busy++
}

// end ends the use of a slot: the handler has returned.
func (s *slots) end(u *slotUse) {
	if u.lent {
		u.lent = false
		s.lent--
	} else {
		s.busy--
	}
	u.over = true
}

// lend begins a wait of a goroutine of the handler. It reports whether a slot has become
// free: the first wait frees it, unless too many slots are lent.
func (s *slots) lend(u *slotUse) bool {
	if u.waits++; u.waits > 1 || u.over || s.lent == maxLent {
		return false
	}
	u.lent = true
	s.lent++
	s.busy--
	return true
}

// reclaim ends a wait that lend began. It reports whether the handler has a slot again: the
// end of the last wait gives it back if it was lent.
func (s *slots) reclaim(u *slotUse) bool {
	if u.waits--; u.waits > 0 || !u.lent {
		return false
	}
	u.lent = false
	s.lent--
	s.busy++
	return true
}

// reserve reserves n spare slots. It reports false, and reserves none, if there are fewer.
func (s *slots) reserve(n, queued int) bool {
	if s.spare(queued) < n {
		return false
	}
	s.reserved += n
	return true
}

// unreserve frees n reserved slots.
func (s *slots) unreserve(n int) { s.reserved -= n }

// await keeps a slot in mind for a member of a squad whose start is undecided.
func (s *slots) await() { s.undecided++ }

// decided ends await for n members: they do not start, or join the prefetch queue.
func (s *slots) decided(n int) { s.undecided -= n }
