package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Dequeue takes tasks; see [broker.Consumer].
func (c *consumer) Dequeue(ctx context.Context, queues []string, most int, wait time.Duration) ([]*broker.Delivery, error) {
	now, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	if most < 1 || len(queues) == 0 {
		return nil, fmt.Errorf("dequeue: %w: %d tasks of %d queues", broker.ErrInvalid, most, len(queues))
	}
	most = min(most, broker.MaxBatch)
	holds := make([]*holding, len(queues))
	for i, name := range queues {
		if holds[i] = c.holdingOf(name); holds[i] == nil {
			return nil, fmt.Errorf("dequeue: %w: queue %q is not one of this consumer", broker.ErrInvalid, name)
		}
	}
	out, err := c.take(holds, most, now, nil)
	if err != nil || len(out) > 0 || wait <= 0 {
		return out, err
	}
	return c.await(ctx, holds, most, wait)
}

// await takes tasks as soon as there are some. While there are none, a channel of the
// consumer is among the waiters of each queue. A queue that wakes the consumer may have
// given its tasks to another one, so the consumer tries again.
func (c *consumer) await(ctx context.Context, holds []*holding, most int, wait time.Duration) ([]*broker.Delivery, error) {
	wake := make(chan struct{}, 1)
	defer func() {
		for _, h := range holds {
			h.q.mu.Lock()
			delete(h.q.waiters, wake)
			h.q.mu.Unlock()
		}
	}()
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		out, err := c.take(holds, most, c.b.clock.now(), wake)
		if err != nil || len(out) > 0 {
			return out, err
		}
		select {
		case <-wake:
		case <-over.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.end:
			return nil, c.endError()
		case <-c.b.done:
			return nil, errClosed
		}
	}
}

// page collects the deliveries of one Dequeue.
type page struct {
	most  int
	now   instant
	out   []*broker.Delivery
	bytes int // the size of the tasks in out
	slabs dequeueSlabs
}

func (p *page) full() bool { return len(p.out) == p.most || p.bytes >= broker.MaxBatchBytes }

// add adds the delivery of a task that the consumer owns.
func (p *page) add(r *record) {
	p.bytes += r.task.Size()
	p.out = append(p.out, r.delivery(p.now, &p.slabs))
}

// take takes assigned tasks that the consumer has not got yet, parked tasks that it may have,
// and pending ones. If it finds nothing, it adds wake to the waiters of the queues, unless wake is nil.
func (c *consumer) take(holds []*holding, most int, now instant, wake chan struct{}) ([]*broker.Delivery, error) {
	p := page{most: most, now: now}
	for _, h := range holds {
		h.q.lock(now)
		if c.ended.Load() {
			h.q.unlock()
			return nil, c.endError()
		}
		h.takeAssigned(&p)
		h.takeParked(&p)
		h.takePending(&p)
		if len(p.out) == 0 && wake != nil {
			h.q.waiters[wake] = struct{}{}
		}
		h.q.unlock()
		if p.full() {
			break
		}
	}
	return p.out, nil
}

// takePending hands out pending tasks until the page is full.
func (h *holding) takePending(p *page) {
	if h.q.paused() {
		return
	}
	if x := h.q.lanes; x != nil && x.opened > 0 {
		h.takeLaned(p)
		return
	}
	pending := &h.q.pending
	if n := min(p.most-len(p.out), pending.Len()); n > 0 {
		p.out = slices.Grow(p.out, n)
		p.slabs.deliveries.Left, p.slabs.bytes.Left = n, n
	}
	for pending.Len() > 0 && !p.full() {
		h.handOut(pending.First(), p)
	}
}

// handOut makes the consumer the owner of a waiting task without a lane and adds the delivery
// to the page. If the flow of the task is being killed, it blocks the task instead, and if the
// task is paused, it sets it aside; then it returns false.
func (h *holding) handOut(r *record, p *page) bool {
	if h.q.halted(r) {
		h.q.blockHalted(r)
		return false
	}
	if h.q.pauses.names(r.task) {
		h.q.setAside(r)
		return false
	}
	h.q.detach(r)
	h.q.setOwner(r, h)
	p.add(r)
	return true
}

// delivery returns the delivery of a task, which shares no memory with the record.
func (r *record) delivery(now instant, slabs *dequeueSlabs) *broker.Delivery {
	d := slabs.deliveries.Next()
	d.Task = *r.task
	d.Flow.Blocked = false
	d.Payload, d.Meta, d.Lane = slabs.bytes.Copy(d.Payload), copyMeta(d.Meta), copyLane(d.Lane)
	d.Attempt, d.Start, d.Retried = r.attempt, r.start(), int(r.retried)
	d.Recoveries, d.Strikes = int(r.recoveries), int(r.strikes)
	d.Left, d.Canceled, d.Overdue, d.Afresh = broker.NoDeadline, r.canceled, r.overdue, r.afresh
	if r.deadline.at != never {
		d.Left = time.Duration(r.deadline.at - now)
	}
	if r.holding != nil {
		d.Minion = r.holding.c.id
	}
	return d
}
