package memory

import (
	"cmp"
	"context"
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
// order in which they were dequeued, each with the number of its next attempt. It works in
// chunks, from the last task to the first. If the consumer died, the death is counted, and
// a cancelled task is handed out once more, so that another consumer can settle it as
// canceled. If the consumer was closed, a cancelled task ends here.
func (c *consumer) giveBack(died bool) {
	notices := noticeBatch{followers: &c.b.followers}
	for _, h := range c.holdings {
		for more := true; more; {
			now := c.b.clock.now()
			h.q.lock(now)
			for n := 0; n < broker.MaxBatch && h.list.tail != nil; n++ {
				r := h.list.tail
				if r.canceled && !died {
					h.q.cancel(r, now, &notices)
					continue
				}
				if died {
					c.charge(r)
				}
				h.q.detach(r)
				h.q.watchDeadline(r)
				r.nextAttempt(false)
				h.q.pushFront(r)
			}
			if more = h.list.tail != nil; !more {
				if h.q.consumers--; h.q.consumers == 0 {
					h.q.noteUnserved(now)
				}
			}
			h.q.unlock()
		}
	}
	notices.deliver(c.b)
}

// Minions returns the living minions, the oldest first.
func (b *Broker) Minions(ctx context.Context) ([]broker.MinionInfo, error) {
	if _, err := b.enter(ctx); err != nil {
		return nil, err
	}
	m := &b.members
	m.mu.Lock()
	infos := make([]broker.MinionInfo, 0, len(m.all))
	order := make(map[broker.ID]uint32, len(m.all))
	for c := range m.all {
		order[c.id] = c.number
		infos = append(infos, broker.MinionInfo{
			ID: c.id, Queues: slices.Clone(c.cfg.Queues), Slots: c.cfg.Slots, Active: c.active,
			Host: c.cfg.Host, PID: c.cfg.PID, Tasks: maps.Clone(c.cfg.Tasks),
			Started: b.clock.wall(c.started), Beat: b.clock.wall(c.beat),
		})
	}
	m.mu.Unlock()
	slices.SortFunc(infos, func(x, y broker.MinionInfo) int {
		return cmp.Compare(order[x.ID], order[y.ID])
	})
	return infos, nil
}
