package minion

import (
	"github.com/go-arbiter/arbiter/broker"
)

// A worker is a goroutine that runs one attempt after the other. There are as
// many as there were slots busy at once; each keeps its stack, grown to what
// handlers need, until the run ends.
//
// As long as an attempt waits and a slot is free, one worker is being woken; it
// takes the attempt and has the next one woken before it runs its own. So
// handlers that take long soon have all slots, and those that take microseconds
// are run by the few workers that are awake.

// wake wakes a worker, or makes one, if there is something for it to do. r.mu is
// held.
func (r *run) wake() {
	if r.waking || len(r.starting) == 0 && (r.busy+r.reserved >= r.slots || r.ahead.len() == 0) {
		return
	}
	r.waking = true
	if r.idle > 0 {
		r.idle--
		r.work <- struct{}{} // never blocks: it has room for all workers
		return
	}
	go r.worker()
}

// woken returns the attempt that a worker was woken for, nil if another one has
// taken it.
func (r *run) woken() *attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waking = false
	a := r.next()
	if a == nil {
		r.idle++
		return nil
	}
	r.wake()
	r.weigh()
	return a
}

// next returns an attempt that can start, and gives it its slot; nil if there is
// none. r.mu is held.
func (r *run) next() *attempt {
	if len(r.starting) > 0 { // their slots are held
		a := r.starting[0]
		r.starting[0] = nil
		r.starting = r.starting[1:]
		r.reserved--
		r.busy++
		return a
	}
	if r.busy+r.reserved >= r.slots {
		return nil
	}
	a := r.ahead.pop()
	if a != nil {
		r.busy++
	}
	return a
}

func (r *run) worker() {
	for awake := true; awake; _, awake = <-r.work { // closed when the run is over
		for a := r.woken(); a != nil; {
			next, ended := a.execute()
			if next != nil {
				next.started = ended // asking for the time is not free
			}
			a = next
		}
	}
}

// end hands the settlement of an attempt on, if there is one and it does not come
// too late, and gives its slot to an attempt that waits, if any: the next one.
// Alive says that its goroutine is there for another.
func (r *run) end(a *attempt, st *broker.Settlement, settled, alive bool) (next *attempt) {
	s := a.s
	r.mu.Lock()
	r.ahead.note(a, st)
	r.takeBack(a)
	a.over = true
	r.busy--
	if alive {
		next = r.next()
	}
	switch {
	case !alive:
		r.wake()
	case next != nil:
	default:
		r.idle++
	}
	s.running.remove(a)
	late := s.lost || s.sealed
	if settled && !late {
		s.add(st)
	} else {
		r.acquit(a)
	}
	r.changed()
	r.mu.Unlock()
	if late {
		r.lose(a.d, st.Unstarted, "the minion does not own the task any more")
	}
	return next
}
