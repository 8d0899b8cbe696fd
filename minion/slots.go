package minion

// A slot is one unit of a minion's concurrency. All arithmetic on slots is in this file.
// A slot is free, busy or reserved:
//
//	take           free     → busy      a handler starts
//	end            busy     → free      it has returned
//	lend           busy     → free      it waits for another task
//	reclaim        any      → busy      its wait is over, whether or not its slots are free
//	reserve        free     → reserved  for the members of a squad
//	takeReserved   reserved → busy      a member starts
//	unreserve      reserved → free      the squad does not need the slot
//
// A handler takes one slot, or several if its task is heavy (see heavy.go). It takes, lends,
// reclaims and frees all of them together.
//
// The invariant: busy + reserved is at most total, plus the slots of the running handlers
// that have reclaimed lent slots. Only reclaim can exceed total. No handler starts and no
// slot is reserved after that, until enough slots are free again.
//
// Two kinds of attempts have no slots yet and are meant to get them: those that wait in the
// prefetch queue, and members of squads whose start is undecided. Squads, and further
// dequeues, can only have the slots that both leave over.

// slots counts what the slots of a run are used for. It has no lock of its own. run.mu
// guards it, because a slot changes hands together with the attempt that uses it.
type slots struct {
	total     int
	busy      int // of running handlers; may exceed total, see reclaim
	lent      int // handlers that wait for other tasks and have lent their slots
	reserved  int // for squads, including members that may start and have not yet
	undecided int // for members of squads that have no slots, and may or may not start
}

// slotUse is the use of slots by one attempt.
type slotUse struct {
	n     int32 // how many slots it takes: 1, or up to total if its task is heavy
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
// yet. queued is how many slots the attempts in the prefetch queue take.
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

// idle reports whether no handler runs or waits for another task.
func (s *slots) idle() bool { return s.busy+s.lent == 0 }

// fits reports whether the slots that an attempt takes are free.
func (s *slots) fits(u *slotUse) bool { return int(u.n) <= s.free() }

// take gives free slots to a handler. It reports false if there are too few.
func (s *slots) take(u *slotUse) bool {
	if !s.fits(u) {
		return false
	}
	s.busy += int(u.n)
	return true
}

// takeReserved gives reserved slots to a member of the squad that they are reserved for.
func (s *slots) takeReserved(u *slotUse) {
	s.reserved -= int(u.n)
	s.busy += int(u.n)
}

// end ends the use of slots: the handler has returned.
func (s *slots) end(u *slotUse) {
	if u.lent {
		u.lent = false
		s.lent--
	} else {
		s.busy -= int(u.n)
	}
	u.over = true
}

// lend begins a wait of a goroutine of the handler. It reports whether slots have become
// free: the first wait frees them, unless too many handlers have lent theirs.
func (s *slots) lend(u *slotUse) bool {
	if u.waits++; u.waits > 1 || u.over || s.lent == maxLent {
		return false
	}
	u.lent = true
	s.lent++
	s.busy -= int(u.n)
	return true
}

// reclaim ends a wait that lend began. It reports whether the handler has its slots again:
// the end of the last wait gives them back if they were lent.
func (s *slots) reclaim(u *slotUse) bool {
	if u.waits--; u.waits > 0 || !u.lent {
		return false
	}
	u.lent = false
	s.lent--
	s.busy += int(u.n)
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

// await keeps slots in mind for a member of a squad whose start is undecided.
func (s *slots) await(u *slotUse) { s.undecided += int(u.n) }

// decided ends await: the member does not start, or joins the prefetch queue.
func (s *slots) decided(u *slotUse) { s.undecided -= int(u.n) }
