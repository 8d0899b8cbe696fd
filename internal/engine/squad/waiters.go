package squad

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Waiters are the squads that wait for slots of one minion, the longest waiting first. A squad
// that finds too few free slots waits, and the minion tells its arbiter when slots become free,
// so that the arbiter does not have to ask again and again. It is told once, when more slots are
// free than the fewest since it asked: the squad knows about the slots that it found.
//
// The zero value has no squads. The methods may be called concurrently, also with a lock of the
// minion held: they call nothing that waits. Without squads Any and Seen take no lock.
type Waiters struct {
	n atomic.Int64 // the length of list

	mu   sync.Mutex // guards list
	list []waiter
}

type waiter struct {
	Message
	until time.Time
	had   int // the fewest free slots since it asked; it is told when there are more
}

// maxWaiters bounds the list. The arbiter of a squad that is not told asks again by itself.
const maxWaiters = 10_000

// Any reports whether a squad waits.
func (w *Waiters) Any() bool { return w.n.Load() > 0 }

// Add adds the squad of a message of kind [Ask], whose N is a number of slots here. If it is in the list, it keeps its position.
// It is not told before Answered.
func (w *Waiters) Add(m Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	added := waiter{m, time.Now().Add(m.For), math.MaxInt}
	if i := w.find(m.Squad); i >= 0 {
		w.list[i] = added
	} else if len(w.list) < maxWaiters {
		w.list = append(w.list, added)
	}
	w.n.Store(int64(len(w.list)))
}

// Answered notes the number of free slots that was sent to a squad. A squad is added before
// that number is read: so Seen counts for it if the number falls in between.
func (w *Waiters) Answered(id broker.ID, free int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.find(id); i >= 0 {
		w.list[i].had = min(w.list[i].had, free)
	}
}

// Seen notes how many slots are free after some were taken.
func (w *Waiters) Seen(free int) {
	if !w.Any() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.list {
		w.list[i].had = min(w.list[i].had, free)
	}
}

// Drop removes a squad.
func (w *Waiters) Drop(id broker.ID) {
	if !w.Any() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := w.find(id); i >= 0 {
		w.list = append(w.list[:i], w.list[i+1:]...)
	}
	w.n.Store(int64(len(w.list)))
}

// Next removes and returns the squads to tell about the free slots: no more of them than the
// slots may be enough for.
func (w *Waiters) Next(free int) (told []Message) {
	if free == 0 || !w.Any() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
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
	w.n.Store(int64(len(rest)))
	return told
}

// find returns the index of a squad, or -1. Waiters.mu is held.
func (w *Waiters) find(id broker.ID) int {
	for i := range w.list {
		if w.list[i].Squad == id {
			return i
		}
	}
	return -1
}
