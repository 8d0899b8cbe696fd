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

// consumerSet is the set of consumers of a broker that have not left all of their partitions.
type consumerSet struct {
	mu  sync.Mutex
	all map[broker.ID]*consumer
}

func (s *consumerSet) add(c *consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[broker.ID]*consumer)
	}
	s.all[c.id] = c
}

func (s *consumerSet) remove(id broker.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, id)
}

func (s *consumerSet) find(id broker.ID) *consumer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[id]
}

// mostCutOff bounds how many consumers cutOff returns. One of them is enough to show that the
// server was unreachable.
const mostCutOff = 100

// cutOff returns the ids of consumers whose last heartbeat failed, without the one called
// than, in the form that scripts have. These consumers live, though their leases may have
// ended.
func (s *consumerSet) cutOff(than broker.ID) []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []any
	for id, c := range s.all {
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
