package minion

import (
	"github.com/go-arbiter/arbiter/broker"
)

// A worker is a goroutine that runs one attempt after the other. There are as many as
// slots were busy at once. A worker lives until the run ends, and keeps its stack, which
// has grown to the size that handlers need.
//
// While an attempt waits and a slot is free, one worker is being woken. It takes the
// attempt, has the next worker woken, and then runs the attempt. So slow handlers soon
// occupy all slots, and fast ones are run by the few workers that are awake.

// wake wakes a worker, or starts one, if an attempt can start.
func (r locked) wake() {
	if r.waking {
		return
	}
	if first := r.prefetched.first(); len(r.starting) == 0 && (first == nil || !r.slots.fits(&first.slot)) {
		return
	}
	r.waking = true
	if r.idle > 0 {
		r.idle--
		r.work <- struct{}{} // never blocks: the channel has room for all workers
		return
	}
	go r.worker()
}

// woken returns an attempt for a worker that was woken, or nil if another worker has taken
// it.
func (r *run) woken() *attempt {
	l := r.lock()
	defer l.unlock()
	r.waking = false
	a := l.next()
	if a == nil {
		r.idle++
		return nil
	}
	l.wake()
	l.weigh()
	return a
}

// next returns an attempt that can start and gives it its slots, or nil if there is none.
func (r locked) next() *attempt {
	if len(r.starting) > 0 { // these have reserved slots
		a := r.starting[0]
		r.starting[0] = nil
		r.starting = r.starting[1:]
		r.slots.takeReserved(&a.slot)
		return a
	}
	if first := r.prefetched.first(); first == nil || !r.slots.take(&first.slot) {
		return nil
	}
	return r.prefetched.pop()
}

func (r *run) worker() {
	for awake := true; awake; _, awake = <-r.work { // r.work is closed when the run is over
		for a := r.woken(); a != nil; {
			next, ended := a.execute()
			if next != nil {
				next.started = ended // saves a call of time.Now
			}
			a = next
		}
	}
}

// end frees the slots of an attempt and queues its settlement, if there is one and the
// session can still settle. If alive, the worker goes on: end returns the attempt that
// starts next, or nil if none waits.
func (r *run) end(a *attempt, st *broker.Settlement, settled, alive bool) (next *attempt) {
	s := a.s
	l := r.lock()
	r.prefetched.note(a, st)
	l.depart(a)
	r.slots.end(&a.slot)
	if alive {
		next = l.next()
	}
	if alive && next == nil {
		r.idle++
	}
	l.wake() // for a worker that has ended, and for the other slots of a heavy task
	s.running.remove(a)
	late := s.lost || s.sealed
	if settled && !late {
		l.add(s, st)
	} else {
		r.trial.acquit(a)
	}
	l.changed()
	l.unlock()
	if late {
		r.lose(a.d, st.Unstarted, "the minion does not own the task any more")
	}
	return next
}
