package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Dequeue takes tasks; see [broker.Consumer]. A consumer that finds none adds a channel to
// the waiters of each queue, and tries again when a queue wakes it.
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

// take takes pending tasks and parked ones that the consumer may have. It adds wake to the
// waiters of queues in which it has found nothing.
func (c *consumer) take(holds []*holding, most int, now instant, wake chan struct{}) ([]*broker.Delivery, error) {
	var out []*broker.Delivery
	var in dequeueSlabs
	bytes := 0
	for _, h := range holds {
		q := h.q
		q.lock(now)
		if c.ended.Load() {
			q.unlock()
			return nil, c.endError()
		}
		if q.parked.n > 0 {
			out, bytes = c.takeParked(h, out, most, bytes, now)
		}
		if n := min(most-len(out), q.pending.n); n > 0 {
			out = slices.Grow(out, n)
			in.deliveries.Left, in.bytes.Left = n, n
		}
		for len(out) < most && bytes < broker.MaxBatchBytes && q.pending.n > 0 {
			r := q.pending.head
			if q.halted(r) {
				q.blockHalted(r)
				continue
			}
			bytes += r.task.Size()
			out = append(out, h.own(r, now, &in))
		}
		if len(out) == 0 && wake != nil {
			q.waiters[wake] = struct{}{}
		}
		q.unlock()
		if len(out) == most {
			break
		}
	}
	return out, nil
}

// own makes the consumer the owner of a waiting task, and returns its delivery.
func (h *holding) own(r *record, now instant, in *dequeueSlabs) *broker.Delivery {
	h.q.detach(r)
	h.q.setOwner(r, h)
	d := r.delivery(now, in)
	d.Minion = h.c.id
	return d
}

// delivery returns the delivery of a running task, which shares no memory with the record.
func (r *record) delivery(now instant, in *dequeueSlabs) *broker.Delivery {
	d := in.deliveries.Next()
	d.Task = *r.task
	d.Blocked = false
	d.Payload, d.Meta = in.bytes.Copy(d.Payload), copyMeta(d.Meta)
	d.Attempt, d.Start, d.Retried = r.attempt, r.start(), int(r.retried)
	d.Recoveries, d.Strikes = int(r.recoveries), int(r.strikes)
	d.Left, d.Canceled, d.Overdue, d.Afresh = broker.NoDeadline, r.canceled, r.overdue, r.afresh
	if r.deadline != never {
		d.Left = time.Duration(r.deadline - now)
	}
	return d
}
