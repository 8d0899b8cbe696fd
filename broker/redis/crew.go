package redis

import (
	"errors"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// This file knows the other consumers of the same process, to tell an outage from a death.
//
// After an outage of the network or the server the leases of all minions have ended, though
// the minions live. The first of them to reach the server must not treat the others as dead.
// So when it registers, it names consumers of this process whose last heartbeat failed
// (cutOff), and join.lua gives all minions some more time if the lease of one of these has
// ended.

// crew is the set of consumers of a broker that have not left all of their partitions.
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

// mostCutOff bounds how many consumers cutOff returns. One of them is enough to show that the
// server was unreachable.
const mostCutOff = 100

// cutOff returns the ids of consumers whose last heartbeat failed, without the one called
// than, in the form that scripts have. These consumers live, though their leases may have
// ended.
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

// heard notes whether a heartbeat has reached the server. A heartbeat that the server refuses
// because the lease has ended has reached it.
func (c *consumer) heard(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutOff = err != nil && !errors.Is(err, broker.ErrLeaseLost) && !errors.Is(err, broker.ErrClosed)
}
