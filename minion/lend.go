package minion

import "github.com/go-arbiter/arbiter/broker"

// A handler that waits for another task through its submitter lends its slot meanwhile.
// Otherwise handlers that wait for tasks of the same minion could occupy all slots, and
// the awaited tasks would never start. When its wait is over the handler goes on at once.
// So more handlers than slots may run for a while, and no further one starts until fewer
// handlers than slots run. The handler does not wait for a free slot: it could hold a
// resource that the handler in the slot needs, and both would wait for ever.

// lend begins a wait of one of the handler's goroutines for another task.
func (r *run) lend(a *attempt, id broker.ID) {
	if a.suspect {
		r.trial.await(a, id)
	}
	l := r.lock()
	defer l.unlock()
	if r.slots.lend(&a.slot) {
		if a.entry == inside {
			l.leave(a)
		}
		l.wake()
		l.changed()
	}
}

// reclaim ends a wait that lend began.
func (r *run) reclaim(a *attempt, id broker.ID) {
	if a.suspect {
		r.trial.resume(a, id)
	}
	l := r.lock()
	defer l.unlock()
	if !r.slots.reclaim(&a.slot) {
		return
	}
	if a.entry == inside {
		r.ceilings.add(a, 1)
	}
	l.weigh()
	r.waiters.Seen(l.spare())
	l.watchPrefetched() // the slot may have been meant for an attempt that was about to start
}
