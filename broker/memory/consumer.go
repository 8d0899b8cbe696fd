package memory

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// consumer implements broker.Consumer.
type consumer struct {
	b        *Broker
	id       broker.ID
	number   uint32 // a short id, for settled.by
	cfg      broker.ConsumerConfig
	able     *broker.Ability
	holdings []*holding // one for each queue

	// ended is set before the tasks of the consumer are taken from it. So if it is unset
	// while a queue is locked, the consumer still owns its tasks of that queue.
	ended  atomic.Bool
	end    chan struct{} // closed when ended is set
	closed atomic.Bool   // Close was called

	// Guarded by members.mu.
	expires instant
	started instant
	beat    instant
	active  int

	charges charges
}

// holding is the list of tasks of one queue that a consumer owns. The list and the count are
// guarded by the lock of the queue.
type holding struct {
	c        *consumer
	q        *queue
	list     recordList
	canceled int        // how many tasks of the list were cancelled
	assigned []assigned // tasks of the list that the next Dequeue returns; see assign
}

// Consume opens a consumer; see [broker.Broker].
func (b *Broker) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	if len(cfg.Queues) == 0 {
		return nil, fmt.Errorf("consumer: %w: no queues", broker.ErrInvalid)
	}
	if cfg.Slots < 1 {
		return nil, fmt.Errorf("consumer: %w: %d slots, want 1 or more", broker.ErrInvalid, cfg.Slots)
	}
	for _, name := range cfg.Queues {
		if err := broker.CheckName("queue", name); err != nil {
			return nil, fmt.Errorf("consumer: %w", err)
		}
	}
	c := &consumer{
		b: b, id: broker.NewID(broker.KindParty, cfg.Queues[0], 0), cfg: cfg,
		able:    broker.NewAbility(cfg.Tasks, wire.MessageVersion),
		started: now, beat: now, end: make(chan struct{}),
	}
	c.cfg.Queues = slices.Clone(cfg.Queues)
	b.naming.RLock()
	for _, name := range cfg.Queues {
		if c.holdingOf(name) == nil {
			q := b.queue(name)
			q.lock(now)
			q.consumers++
			q.unlock()
			c.holdings = append(c.holdings, &holding{c: c, q: q})
		}
	}
	b.naming.RUnlock()
	b.members.add(c, now)
	c.tellStoredArrivals(now)
	b.askAgain(c, now)
	return c, nil
}

// ID identifies this opening of the consumer.
func (c *consumer) ID() broker.ID { return c.id }

// Lease returns the lease and the interval of heartbeats.
func (c *consumer) Lease() (lease, every time.Duration) { return c.b.lease, c.b.lease / 3 }

// holdingOf returns the holding of a queue, or nil if the consumer does not serve the queue.
func (c *consumer) holdingOf(name string) *holding {
	for _, h := range c.holdings {
		if h.q.name == name {
			return h
		}
	}
	return nil
}

// enter begins every method that has a context.
func (c *consumer) enter(ctx context.Context) (instant, error) {
	now, err := c.b.enter(ctx)
	if err == nil && c.ended.Load() {
		err = c.endError()
	}
	return now, err
}

// endError returns the error that says why the consumer has ended.
func (c *consumer) endError() error {
	if c.closed.Load() {
		return c.errClosed()
	}
	return c.errLost()
}

// Heartbeat extends the lease and publishes the load. It calls OnCancel again for cancelled
// tasks that the consumer still holds, and OnArrivals for queues with arrivals.
func (c *consumer) Heartbeat(ctx context.Context, load broker.Load) error {
	now, err := c.enter(ctx)
	if err != nil {
		return err
	}
	if !c.b.members.beat(c, now, load) {
		return c.errLost()
	}
	c.tellStoredArrivals(now)
	if c.cfg.OnCancel == nil {
		return nil
	}
	var ids []broker.ID
	for _, h := range c.holdings {
		h.q.lock(now)
		if h.canceled > 0 {
			for r := range h.list.All() {
				if r.canceled {
					ids = append(ids, r.id)
				}
			}
		}
		h.q.unlock()
	}
	for _, id := range ids {
		c.cfg.OnCancel(id)
	}
	return nil
}

// Close ends the consumer. It does not matter whether ctx has ended.
func (c *consumer) Close(context.Context) error {
	c.closed.Store(true)
	if c.b.closed.Load() {
		return nil
	}
	if !c.b.members.remove(c) {
		c.excuse()
		return nil
	}
	c.giveBack(false)
	return nil
}
