package memory

import (
	"maps"
	"slices"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// A consumer lives until it is closed or its lease ends without a heartbeat. Every
// operation first ends the consumers whose leases are over (Broker.enter), and an alarm
// does so while there are no operations. Then the tasks of an ended consumer go back to the
// front of their queues.

// members are the living consumers.
type members struct {
	b     *Broker
	alarm alarm // rings when a lease may have ended

	mu     sync.Mutex
	all    map[*consumer]struct{}
	number uint32 // the number of the newest one
}

func (m *members) init(b *Broker) {
	m.b = b
	m.all = map[*consumer]struct{}{}
	m.alarm.init(&b.clock, m.ring)
}

func (m *members) add(c *consumer, now instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.number++
	c.number = m.number
	c.expires = now.plus(m.b.lease)
	m.all[c] = struct{}{}
	m.alarm.set(c.expires)
}

// beat extends a lease. It reports false if the lease has ended.
func (m *members) beat(c *consumer, now instant, load broker.Load) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.all[c]; !ok {
		return false
	}
	c.beat = now
	c.expires = max(c.expires, now.plus(m.b.lease))
	c.active = load.Active
	return true
}

// living returns all living consumers.
func (m *members) living() []*consumer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.all))
}

// find returns the living consumer with the id, or nil.
func (m *members) find(id broker.ID) *consumer {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.all {
		if c.id == id {
			return c
		}
	}
	return nil
}

// remove ends a consumer. It reports false if it has ended before.
func (m *members) remove(c *consumer) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.end(c)
}

func (m *members) end(c *consumer) bool {
	if _, ok := m.all[c]; !ok {
		return false
	}
	delete(m.all, c)
	c.ended.Store(true)
	close(c.end)
	return true
}

// endExpired ends and returns the consumers whose leases are over, and sets the alarm for the
// next lease.
func (m *members) endExpired(now instant) (expired []*consumer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := never
	for c := range m.all {
		if c.expires > now {
			next = min(next, c.expires)
			continue
		}
		m.end(c)
		expired = append(expired, c)
	}
	m.alarm.set(next)
	return expired
}

// reap ends consumers whose leases are over and gives back their tasks. It costs little if
// no lease can be over.
func (b *Broker) reap(now instant) {
	if b.members.alarm.due(now) {
		b.members.alarm.clear()
		b.reapNow(now)
	}
}

func (b *Broker) reapNow(now instant) {
	for _, c := range b.members.endExpired(now) {
		c.giveBack(true)
	}
}

// ring is called by the alarm.
func (m *members) ring() { m.b.reapNow(m.b.clock.now()) }

// giveBack returns the tasks of an ended consumer to the front of their queues, in the
// order in which they were dequeued, each with the number of its next attempt. If the
// consumer died, the death is counted, and a cancelled task is handed out once more, so that
// another consumer can settle it as canceled. If the consumer was closed, a cancelled task
// ends here.
func (c *consumer) giveBack(died bool) {
	notices := newNoticeBatch(c.b, 1)
	for _, h := range c.holdings {
		for more := true; more; {
			more = h.giveBack(died, &notices)
		}
	}
	notices.deliver(c.b)
}

// giveBack returns up to broker.MaxBatch tasks to one queue, from the last task to the
// first. If none are left, the consumer leaves the queue, and more is false.
func (h *holding) giveBack(died bool, p *noticeBatch) (more bool) {
	q := h.q
	now := q.b.clock.now()
	q.lock(now)
	defer q.unlock()
	for range broker.MaxBatch {
		r := h.list.Last()
		if r == nil {
			if q.consumers--; q.consumers == 0 {
				q.noteUnserved(now)
			}
			return false
		}
		if r.canceled && !died {
			q.cancel(r, now, p)
			continue
		}
		if died {
			h.c.charge(r)
		}
		q.detach(r)
		q.watchDeadline(r)
		r.nextAttempt(false)
		q.pushFront(r)
	}
	return true
}
