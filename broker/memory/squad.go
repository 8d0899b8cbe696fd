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
	payload = bytes.Clone(payload)
	if c := b.members.find(to); c != nil {
		if c.cfg.OnPost != nil {
			c.cfg.OnPost(payload)
		}
	} else if in := b.inboxes.get(to); in != nil {
		in.addPost(payload)
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
		if c != nil && c.cfg.OnAssign != nil {
			d = c.assign(id, now, &in)
		}
		if d == nil {
			errs[i] = fmt.Errorf("task %s: assign it to minion %s: %w", id, minion, broker.ErrNotFound)
			continue
		}
		out = append(out, d)
	}
	if len(out) > 0 {
		c.cfg.OnAssign(out)
	}
	return broker.NewBatchError(errs)
}

// assign makes the consumer the owner of a blocked task and returns the delivery. It
// returns nil if the consumer can't have the task.
func (c *consumer) assign(id broker.ID, now instant, in *dequeueSlabs) *broker.Delivery {
	r, _ := c.b.index.lock(id, now)
	if r == nil {
		return nil
	}
	q := r.queue
	defer q.unlock()
	h := c.holdingOf(q.name)
	switch {
	case h == nil, c.ended.Load():
		return nil
	case r.state == broker.StateBlocked && !q.halted(r):
		q.detach(r)
		q.setOwner(r, h)
	case r.state == broker.StateRunning && r.holding == h:
	default:
		return nil
	}
	return r.delivery(now, in)
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
