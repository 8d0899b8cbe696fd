package chaos

import (
	"math"
	"time"
)

// asking is how long before a call stops waiting for room it has asked for the last time. It asks at least once a second.
const asking = 3 * time.Second

// bounds checks queues with a bound: no more tasks are stored than there is room for, and none is refused, or left
// waiting, while there is room.
func (h *history) bounds(r *Report) {
	byQueue := make(map[string][]*taskHistory)
	for _, t := range h.tasks {
		if t.bound != nil && !t.damaged {
			byQueue[t.bound.Queue] = append(byQueue[t.bound.Queue], t)
		}
	}
	for _, all := range byQueue {
		h.overfull(r, all)
		for _, t := range all {
			h.noRoom(r, t, all)
		}
	}
}

// overfull checks the tasks of a queue that were sent and accepted while a pause named them. All of these wait until the end
// of the pause, so they are no more than the bound. Others that wait there only make less room. A server that has
// lost what it has written may have lost the pause, the bound or some of the tasks.
func (h *history) overfull(r *Report, all []*taskHistory) {
	byPause := make(map[string][]*taskHistory)
	for _, t := range all {
		if t.pause != "" && len(t.kills) == 0 {
			byPause[t.pause] = append(byPause[t.pause], t)
		}
	}
	for pause, list := range byPause {
		for _, s := range h.pauses[pause] {
			n := 0
			for _, t := range list {
				if t.sent < s.from || t.storedFirst == 0 || t.storedFirst > s.to || len(h.causes("", s.from, t.storedFirst, true)) > 0 {
					continue
				}
				if n++; n > t.bound.Most {
					r.add(t, Overfull, "%s was stored in the queue %s, which has room for %d: %d more were stored while they were paused", t.key, t.bound.Queue, t.bound.Most, n-1)
				}
			}
		}
	}
}

// noRoom checks the sends of a task that were refused since its queue was full. A queue has room for sure if so few tasks
// were sent to it before, and are not known to have ended, that all of them may wait.
func (h *history) noRoom(r *Report, t *taskHistory, all []*taskHistory) {
	for _, e := range t.fulls {
		from := t.sent // of the request that was refused; it comes after all that was noted before
		for _, at := range t.moments {
			if at < e.At {
				from = max(from, at)
			}
		}
		if t.bound.Waits {
			from = max(from, e.At-int64(asking))
			if len(h.causes(e.Proc, from, e.At, true)) > 0 { // it may not have asked in that time
				continue
			}
		}
		n := 0
		for _, o := range all {
			if o != t && o.sent <= e.At && o.waitsUntil() >= from {
				n++
			}
		}
		if n < t.bound.Most {
			r.add(t, NoRoom, "%s found no room in the queue %s, where at most %d tasks can have waited; it has room for %d", t.key, t.bound.Queue, n, t.bound.Most)
		}
	}
}

// waitsUntil returns the time from which on a task does not wait any more for sure.
func (r *taskHistory) waitsUntil() int64 {
	end := int64(math.MaxInt64)
	for _, g := range r.got {
		end = min(end, g.At)
	}
	if r.refused { // no send of it was accepted, and none may have been
		end = min(end, r.moments[len(r.moments)-1])
	}
	return end
}
