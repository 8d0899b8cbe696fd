package minion

// A handler that waits for another task through its submitter lends its slot meanwhile.
// Otherwise handlers that wait for tasks of the same minion could occupy all slots, and
// the awaited tasks would never start. When its wait is over the handler goes on at once.
// So more handlers than slots may run for a while; no further one starts until there are
// fewer than slots again. The handler does not wait for a free slot: it could hold a
// resource that the handler in the slot needs, and both would wait for ever.

// maxLent bounds how many handlers wait in addition to those that run, because each keeps
// its memory. Further handlers keep their slots while they wait.
const maxLent = 10_000

// lend frees the slot of an attempt when the first of its goroutines begins to wait.
func (r *run) lend(a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acquit(a) // the awaited task may be a suspect itself
	if a.waits++; a.waits > 1 || a.over || r.lent == maxLent {
		return
	}
	a.lent = true
	r.lent++
	r.busy--
	r.wake()
	r.changed()
}

// reclaim ends a wait that lend began.
func (r *run) reclaim(a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.waits--; a.waits > 0 || !a.lent {
		return
	}
	r.takeBack(a)
	r.weigh()
	r.waiters.seen(r.spare())
	r.watchPrefetched() // the slot may have been meant for an attempt that was about to start
}

// takeBack gives an attempt its slot back if it was lent. The caller holds r.mu.
func (r *run) takeBack(a *attempt) {
	if a.lent {
		a.lent = false
		r.lent--
		r.busy++
	}
}
