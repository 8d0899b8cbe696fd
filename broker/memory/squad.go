package memory

import (
	"bytes"
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// Post sends bytes to a consumer or an inbox; see [broker.Squads].
func (b *Broker) Post(ctx context.Context, to broker.ID, payload []byte) error {
	if _, err := b.enter(ctx); err != nil {
		return err
	}
	if err := broker.CheckPost(payload); err != nil {
		return err
	}
	if c := b.members.find(to); c != nil {
		if c.cfg.Squads.OnPost != nil {
			c.cfg.Squads.OnPost(bytes.Clone(payload))
		}
		return nil
	}
	for _, in := range b.inboxes.get(to) {
		in.addPost(bytes.Clone(payload))
	}
	return nil
}

// Assign hands blocked tasks to a consumer; see [broker.Squads].
func (b *Broker) Assign(ctx context.Context, minion broker.ID, ids []broker.ID) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	if len(ids) > broker.MaxBatch {
		return fmt.Errorf("assign: %w: %d tasks, the limit is %d", broker.ErrTooLarge, len(ids), broker.MaxBatch)
	}
	c := b.members.find(minion)
	errs := make([]error, len(ids))
	var out []*broker.Delivery
	var in dequeueSlabs
	for i, id := range ids {
		var d *broker.Delivery
		err := broker.ErrNotFound
		if c != nil {
			d, err = c.assign(id, now, &in)
		}
		switch {
		case err != nil:
			errs[i] = fmt.Errorf("task %s: assign it to minion %s: %w", id, minion, err)
		case d != nil:
			out = append(out, d)
		}
	}
	if len(out) > 0 {
		c.cfg.Squads.OnAssign(out)
	}
	return broker.NewBatchError(errs)
}

// assign makes the consumer the owner of a blocked task and returns the delivery for its
// OnAssign. If the consumer has no OnAssign the delivery is nil, and its next Dequeue returns
// the task. It returns an error if the consumer can't have the task.
func (c *consumer) assign(id broker.ID, now instant, in *dequeueSlabs) (*broker.Delivery, error) {
	r, _ := c.b.index.lock(id, now)
	if r == nil {
		return nil, broker.ErrNotFound
	}
	q := r.queue
	defer q.unlock()
	h := c.holdingOf(q.name)
	switch {
	case h == nil, c.ended.Load():
		return nil, broker.ErrNotFound
	case r.state == broker.StateBlocked && !r.behind && !q.halted(r) && r.lane == nil: // a task with a lane is no member of a squad
		if q.paused() || q.pauses.names(r.task) {
			return nil, fmt.Errorf("queue %s: %w", q.name, broker.ErrPaused)
		}
		q.detach(r)
		q.setOwner(r, h)
		if c.cfg.Squads.OnAssign == nil {
			h.assigned = append(h.assigned, assigned{r, r.attempt})
			q.wake()
		}
	case r.state == broker.StateRunning && r.holding == h:
	default:
		return nil, broker.ErrNotFound
	}
	if c.cfg.Squads.OnAssign == nil {
		return nil, nil
	}
	return r.delivery(now, in), nil
}

// assigned is an attempt that was assigned to a consumer without OnAssign.
type assigned struct {
	*record
	attempt uint32
}

// takeAssigned adds assigned tasks that the consumer has not got yet, until the page is full.
func (h *holding) takeAssigned(p *page) {
	for len(h.assigned) > 0 && !p.full() {
		a := h.assigned[0]
		h.assigned = h.assigned[1:]
		if a.holding == h && a.record.attempt == a.attempt { // else that attempt was settled
			p.add(a.record)
		}
	}
	if len(h.assigned) == 0 {
		h.assigned = nil // an empty slice would keep the records in memory
	}
}

// Decide decides whether a squad starts; see [broker.Squads].
func (b *Broker) Decide(ctx context.Context, id broker.ID, start bool) (started bool, err error) {
	now, err := b.enter(ctx)
	if err != nil {
		return false, err
	}
	err = b.view(id, now, func(f *flow) error {
		p := &f.progress
		if p.Marks&(broker.MarkStarted|broker.MarkDropped|broker.MarkKilled) == 0 && p.Outcome == nil {
			if start {
				p.Marks |= broker.MarkStarted
			} else {
				p.Marks |= broker.MarkDropped
			}
			f.changed(now)
		}
		started = p.Marks&broker.MarkStarted != 0
		return nil
	})
	return started, err
}
