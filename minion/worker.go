package minion

import (
	"log/slog"

	"github.com/go-arbiter/arbiter/broker"
)

// A worker is a goroutine that runs one attempt after the other. There are as
// many as there were slots busy at once; each keeps its stack, grown to what
// handlers need, until the run ends.

// begin runs an attempt in a slot. r.mu is held.
func (r *run) begin(a *attempt) {
	r.busy++
	if r.idle > 0 {
		r.idle--
		r.work <- a // never blocks: it has room for all workers
		return
	}
	go r.worker(a)
}

func (r *run) worker(a *attempt) {
	for a != nil {
		a.execute()
		if next := a.next; next != nil {
			next.started = a.finished // asking for the time is not free
			a.next, a = nil, next
		} else {
			a = <-r.work // nil when the run is over
		}
	}
}

// end hands the settlement of an attempt on, unless it is nil or comes too
// late, and frees the slot, or gives it to an attempt that waits. Alive says
// that its goroutine is there for another.
func (r *run) end(a *attempt, st *broker.Settlement, alive bool) {
	s := a.s
	r.mu.Lock()
	r.ahead.note(a)
	r.busy--
	switch next := r.ahead.pop(); {
	case next == nil && alive:
		r.idle++
	case next == nil:
	case alive:
		r.busy++
		a.next = next
	default:
		r.begin(next)
	}
	s.running.remove(a)
	late := s.lost || s.sealed
	if st != nil && !late {
		s.add(*st)
	}
	r.changed()
	r.mu.Unlock()
	if late {
		r.log.task(slog.LevelWarn, "result dropped: the minion does not own the task any more", a.d)
	}
}
