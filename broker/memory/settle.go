package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/slab"
)

// Settle ends attempts; see [broker.Consumer].
func (c *consumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	if c.closed.Load() {
		return nil, c.errClosed()
	}
	now, err := c.b.enter(ctx)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(batch))
	sb := settleBatch{now: now, notices: noticeBatch{followers: &c.b.followers, written: slab.Bytes{Left: len(batch)}}}
	for i := range batch {
		if i == 1 {
			sb.notices.list = slices.Grow(sb.notices.list, len(batch)-1)
		}
		errs[i] = c.settle(&batch[i], &sb)
	}
	sb.lock(nil)
	sb.notices.deliver(c.b)
	c.tellArrivals(sb.arrived)
	c.b.helpSweep(now)
	return errs, nil
}

// settleBatch is the state that the settlements of one batch share.
type settleBatch struct {
	now      instant
	notices  noticeBatch
	q        *queue             // the locked queue, or nil
	next     *record            // the record of q that was handed out after the previous one
	released map[*queue]*record // the last task that was given back to the front of each queue
	arrived  []string           // queues with new arrivals
}

// lock unlocks the queue that is locked, if any, and locks q unless it is nil.
func (t *settleBatch) lock(q *queue) {
	if t.q == q {
		return
	}
	if t.q != nil {
		t.q.unlock()
		t.next = nil
	}
	if t.q = q; q != nil {
		q.lock(t.now)
	}
}

// noteArrivals records that the queue has more arrivals than before.
func (t *settleBatch) noteArrivals(q *queue, before int) {
	if q.arrivals.size() > before && (len(t.arrived) == 0 || t.arrived[len(t.arrived)-1] != q.name) {
		t.arrived = append(t.arrived, q.name)
	}
}

func (c *consumer) settle(s *broker.Settlement, sb *settleBatch) error {
	now := sb.now
	if err := s.Check(c.b.limits); err != nil {
		return err
	}
	d := s.Delivery
	last := settled{by: c.number, attempt: d.Attempt, kind: settlementKind(s)}
	// Settlements mostly come in the order of the deliveries.
	r, tomb := sb.next, tombstone{}
	if r == nil || r.id != d.ID {
		r, tomb = c.b.index.find(d.ID)
	}
	if r == nil {
		if tomb.last == last {
			return nil
		}
		return lost(d)
	}
	q := r.queue
	sb.lock(q)
	if r.state != broker.StateRunning || r.holding.c != c || r.attempt != d.Attempt || c.ended.Load() {
		if r.last == last {
			return nil
		}
		return lost(d)
	}
	r.last = last
	sb.next = r.next
	before := q.arrivals.size()
	switch {
	case s.Verb == broker.VerbFinish:
		if s.Unstarted {
			r.unstarted++ // a requeue counts from here
		}
		inbox := r.task.Inbox
		written := sb.notices.write(&s.Outcome)
		q.finish(r, &s.Outcome, written, now)
		sb.notices.add(inbox, r.id, written)
		q.submit(s.Submit)
		sb.noteArrivals(q, before)
	case r.canceled:
		if s.Unstarted {
			r.unstarted++
		}
		q.cancel(r, now, &sb.notices)
		sb.noteArrivals(q, before)
	default:
		q.detach(r)
		q.watchDeadline(r)
		r.nextAttempt(s.Unstarted)
		switch s.Verb {
		case broker.VerbPark:
			c.able.Park(broker.NeedOf(r.task))
			q.park(r, now.plus(s.Delay))
			return nil
		case broker.VerbRelease:
			// The first task that is given back comes first, so each one goes behind the
			// previous.
			q.pushBehind(sb.released[q], r)
			if sb.released == nil {
				sb.released = make(map[*queue]*record, 1)
			}
			sb.released[q] = r
			return nil
		case broker.VerbRetry:
			r.retried++
			if why := s.LastFailure(); why != nil {
				q.setFailure(r, why)
			}
		}
		r.overdue, r.afresh = false, s.Verb == broker.VerbRetry
		if s.Delay > 0 {
			q.schedule(r, broker.StateRetrying, now.plus(s.Delay))
		} else {
			q.pushBack(r)
		}
	}
	return nil
}

// lost returns the error for an attempt that the consumer does not own.
func lost(d *broker.Delivery) error {
	return fmt.Errorf("task %s %s, attempt %d: %w", d.Name, d.ID, d.Start, broker.ErrLeaseLost)
}

// cancel ends a task as canceled; see drop.
func (q *queue) cancel(r *record, now instant, p *noticeBatch) {
	q.drop(r, broker.StateCanceled, now, p)
}

// drop ends a task that no settlement has ended, and adds a notice.
func (q *queue) drop(r *record, state broker.State, now instant, p *noticeBatch) {
	o := broker.Outcome{
		State: state, Codec: r.task.Codec, Name: r.task.Name, Attempts: r.starts(), Retried: int(r.retried),
		Enqueued: r.task.Enqueued, Finished: q.b.clock.wall(now),
	}
	inbox := r.task.Inbox
	written := p.write(&o)
	q.finish(r, &o, written, now)
	p.add(inbox, r.id, written)
}
