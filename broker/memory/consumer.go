package memory

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// consumer implements broker.Consumer.
type consumer struct {
	b      *Broker
	id     broker.ID
	number uint32 // a short id
	cfg    broker.ConsumerConfig
	able   *broker.Ability
	holds  []*hold // one for each queue

	// gone is set before what the consumer holds is taken from it. So whoever
	// finds it unset, with a queue locked, may act for the consumer there.
	gone   atomic.Bool
	end    chan struct{} // closed with it
	closed atomic.Bool   // gone by its own Close

	// Guarded by members.mu.
	expires instant
	started instant
	beat    instant
	active  int

	charges charges
}

// hold is what a consumer owns of a queue. The list and the count are guarded
// by the queue's lock.
type hold struct {
	c        *consumer
	q        *queue
	list     list
	canceled int // how many of them were cancelled
}

// errLost is what a consumer's methods return once its lease has ended.
var errLost = fmt.Errorf("consumer: %w", broker.ErrLeaseLost)

// Consume opens a consumer, as [broker.Broker] says. A config without a queue
// or slot, or with a queue that is not a name, is refused with an error that wraps
// [broker.ErrInvalid].
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
		able:    broker.NewAbility(cfg.Tasks),
		started: now, beat: now, end: make(chan struct{}),
	}
	c.cfg.Queues = slices.Clone(cfg.Queues)
	b.naming.RLock()
	for _, name := range cfg.Queues {
		if c.holdOf(name) == nil {
			q := b.queue(name)
			q.lock(now)
			q.serving++
			q.unlock()
			c.holds = append(c.holds, &hold{c: c, q: q})
		}
	}
	b.naming.RUnlock()
	b.members.add(c, now)
	c.tellLeft(now)
	b.hear(c, now)
	return c, nil
}

// ID identifies this opening of the consumer.
func (c *consumer) ID() broker.ID { return c.id }

// Lease returns the lease and how often to send a heartbeat.
func (c *consumer) Lease() (lease, every time.Duration) { return c.b.lease, c.b.lease / 3 }

// holdOf returns the hold of a queue, nil if it is not one of the consumer's.
func (c *consumer) holdOf(name string) *hold {
	for _, h := range c.holds {
		if h.q.name == name {
			return h
		}
	}
	return nil
}

// enter is the first thing that a method with a context does.
func (c *consumer) enter(ctx context.Context) (instant, error) {
	now, err := c.b.enter(ctx)
	if err == nil && c.gone.Load() {
		err = c.over()
	}
	return now, err
}

// over says why the consumer is gone.
func (c *consumer) over() error {
	if c.closed.Load() {
		return c.errClosed()
	}
	return errLost
}

// Heartbeat extends the lease and publishes the load. It tells OnCancel again
// of what is still held though it was cancelled, and OnArrivals of what is left.
func (c *consumer) Heartbeat(ctx context.Context, load broker.Load) error {
	now, err := c.enter(ctx)
	if err != nil {
		return err
	}
	if !c.b.members.beat(c, now, load) {
		return errLost
	}
	c.tellLeft(now)
	if c.cfg.OnCancel == nil {
		return nil
	}
	var ids []broker.ID
	for _, h := range c.holds {
		h.q.lock(now)
		if h.canceled > 0 {
			for r := h.list.head; r != nil; r = r.next {
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

// Close ends the consumer, whether or not ctx has ended.
func (c *consumer) Close(context.Context) error {
	c.closed.Store(true)
	if c.b.closed.Load() {
		return nil
	}
	if !c.b.members.remove(c) {
		c.excuse()
		return nil
	}
	c.handBack(false)
	return nil
}
