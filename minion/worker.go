package minion

import (
	"log/slog"

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
	if r.waking || r.busy >= r.slots || r.ahead.len() == 0 {
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
	a := r.ahead.pop()
	if a == nil {
		r.idle++
		return nil
	}
	r.busy++
	r.wake()
	return a
}

func (r *run) worker() {
	for awake := true; awake; _, awake = <-r.work { // closed when the run is over
		for a := r.woken(); a != nil; {
			a.execute()
			next := a.next
			if next != nil {
				a.next, next.started = nil, a.finished // asking for the time is not free
			}
			a = next
		}
	}
}

// end hands the settlement of an attempt on, if there is one and it does not come
// too late, and gives its slot to an attempt that waits, if any. Alive says that its
// goroutine is there for another.
func (r *run) end(a *attempt, st *broker.Settlement, settled, alive bool) {
	s := a.s
	r.mu.Lock()
	r.ahead.note(a)
	r.takeBack(a)
	a.over = true
	r.busy--
	if alive && r.busy < r.slots {
		a.next = r.ahead.pop()
	}
	switch {
	case !alive:
		r.wake()
	case a.next != nil:
		r.busy++
	default:
		r.idle++
	}
	s.running.remove(a)
	late := s.lost || s.sealed
	if settled && !late {
		s.add(*st)
	}
	r.changed()
	r.mu.Unlock()
	if late {
		r.log.task(slog.LevelWarn, "result dropped: the minion does not own the task any more", a.d)
	}
}
