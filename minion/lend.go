package minion

// A handler that waits for another task, by the submitter of its context, lends
// its slot meanwhile: tasks of tasks can't starve themselves, whatever the
// number of slots. When its wait is over it goes on at once, so for a while more
// handlers may run than there are slots; no further ones begin until there are
// fewer again. A handler that would have to wait for its slot could hold what the
// one that has it waits for.

// maxLent bounds how many handlers may wait beside those that run: each keeps
// its memory. A handler that waits beyond that keeps its slot.
const maxLent = 10_000

// lend frees the slot of an attempt, one of whose goroutines begins to wait.
func (r *run) lend(a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acquit(a) // what it waits for may be a suspect itself
	if a.waits++; a.waits > 1 || a.over || r.lent == maxLent {
		return
	}
	a.lent = true
	r.lent++
	r.busy--
	r.wake()
	r.changed()
}

// reclaim ends what lend began.
func (r *run) reclaim(a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.waits--; a.waits > 0 || !a.lent {
		return
	}
	r.takeBack(a)
	r.weigh()
	r.waiters.seen(r.spare())
	r.watchAhead() // the slot may have been that of an attempt that is about to start
}

// takeBack gives an attempt its slot back if it was lent. r.mu is held.
func (r *run) takeBack(a *attempt) {
	if a.lent {
		a.lent = false
		r.lent--
		r.busy++
	}
}
