package memory

import (
	"context"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

var _ broker.Starter = (*Broker)(nil)

// RecordStart records that a consumer is about to start an attempt; see [broker.Starter].
func (b *Broker) RecordStart(ctx context.Context, d *broker.Delivery) (recoveries, strikes int, err error) {
	now, err := b.enter(ctx)
	if err != nil {
		return 0, 0, err
	}
	r, _ := b.index.lock(d.ID, now)
	if r == nil {
		return 0, 0, lost(d)
	}
	defer r.queue.unlock()
	if r.state != broker.StateRunning || r.attempt != d.Attempt || r.holding.c.id != d.Minion || r.holding.c.ended.Load() {
		return 0, 0, lost(d)
	}
	r.started = true
	return int(r.recoveries), int(r.strikes), nil
}

// charges are the tasks to which the end of a consumer's lease was counted. If the consumer
// is closed later, its process lives, and the counts are taken back.
type charges struct {
	mu   sync.Mutex
	list []charge
	void bool // the consumer was closed, so nothing more is counted
}

// charge is one task that a consumer held when its lease ended.
type charge struct {
	r       *record
	started bool // its start was recorded
}

// charge counts the death of the consumer for a task that it held. The queue is locked.
func (c *consumer) charge(r *record) {
	c.charges.mu.Lock()
	defer c.charges.mu.Unlock()
	if c.charges.void {
		return
	}
	c.charges.list = append(c.charges.list, charge{r, r.started})
	r.recoveries++
	if r.started {
		r.strikes++
	}
}

// excuse takes back the counts of charge.
func (c *consumer) excuse() {
	c.charges.mu.Lock()
	list := c.charges.list
	c.charges.list, c.charges.void = nil, true
	c.charges.mu.Unlock()
	for _, one := range list {
		q := one.r.queue
		q.lock(c.b.clock.now())
		// A requeue may have set both to 0 in the meantime.
		one.r.recoveries = max(one.r.recoveries-1, 0)
		if one.started {
			one.r.strikes = max(one.r.strikes-1, 0)
		}
		q.unlock()
	}
}
