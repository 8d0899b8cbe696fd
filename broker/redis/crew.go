package redis

import (
	"errors"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// crew are the consumers of this process that have not signed off.
type crew struct {
	mu  sync.Mutex
	all map[broker.ID]*consumer
}

func (w *crew) add(c *consumer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[broker.ID]*consumer)
	}
	w.all[c.id] = c
}

func (w *crew) remove(id broker.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, id)
}

func (w *crew) find(id broker.ID) *consumer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[id]
}

// mostCutOff bounds how many consumers cutOff returns: one is enough to show that the
// server was out of reach.
const mostCutOff = 100

// cutOff returns the ids, as scripts have them, of other consumers than one whose last
// heartbeat failed. They live, though their leases may have ended.
func (w *crew) cutOff(than broker.ID) []any {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []any
	for id, c := range w.all {
		if id != than && len(ids) < mostCutOff && c.isCutOff() {
			ids = append(ids, id[:])
		}
	}
	return ids
}

func (c *consumer) isCutOff() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutOff
}

// heard notes how a heartbeat has ended. One that the server refuses, since the lease
// has ended, has reached it.
func (c *consumer) heard(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutOff = err != nil && !errors.Is(err, broker.ErrLeaseLost) && !errors.Is(err, broker.ErrClosed)
}
