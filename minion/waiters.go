package minion

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
)

// A squad that finds too few free slots waits. The minion notes it and tells its arbiter
// when slots become free, so that the arbiter does not have to ask again and again. It
// is told once, when more slots are free than the fewest since it asked: the squad knows
// about the slots that it found.

// waiters are the squads that wait for slots of this minion, the longest waiting first.
// run.mu guards them.
type waiters struct {
	list []waiter
}

type waiter struct {
	squad.Message
	until time.Time
	had   int // the fewest free slots since it asked; it is told when there are more
}

// maxWaiters bounds the list. The arbiter of a squad that is not told asks again by itself.
const maxWaiters = 10_000

// add notes a squad that waits. If it is in the list, it keeps its position.
func (w *waiters) add(m squad.Message, free int) {
	until := time.Now().Add(m.For)
	for i := range w.list {
		if w.list[i].Squad == m.Squad {
			w.list[i] = waiter{m, until, free}
			return
		}
	}
	if len(w.list) < maxWaiters {
		w.list = append(w.list, waiter{m, until, free})
	}
}

// seen notes how many slots are free after some were taken.
func (w *waiters) seen(free int) {
	for i := range w.list {
		w.list[i].had = min(w.list[i].had, free)
	}
}

func (w *waiters) drop(id broker.ID) {
	for i := range w.list {
		if w.list[i].Squad == id {
			w.list = append(w.list[:i], w.list[i+1:]...)
			return
		}
	}
}

// next removes and returns the squads to tell about the free slots: no more of them than
// the slots may be enough for.
func (w *waiters) next(free int) (told []squad.Message) {
	if free == 0 || len(w.list) == 0 {
		return nil
	}
	now := time.Now()
	rest := w.list[:0]
	for _, one := range w.list {
		switch {
		case !now.Before(one.until):
		case free > one.had:
			told = append(told, one.Message)
			free -= max(one.N, 1)
		default:
			rest = append(rest, one)
		}
	}
	clear(w.list[len(rest):])
	w.list = rest
	return told
}
