package memory

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
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
	sb := settleBatch{now: now, lock: queueLock{now: now}, notices: newNoticeBatch(c.b, len(batch))}
	for i := range batch {
		errs[i] = c.settle(&batch[i], &sb)
	}
	sb.lock.release()
	sb.notices.deliver(c.b)
	c.tellArrivals(sb.arrived)
	c.b.helpSweep(now)
	return errs, nil
}

// settleBatch is the state that the settlements of one batch share.
type settleBatch struct {
	now      instant
	lock     queueLock
	notices  noticeBatch
	returned map[*queue]*record // the last task that was given back to the front of each queue
	arrived  []string           // queues with new arrivals
}

// settle carries out one settlement, if the consumer owns the attempt. A settlement that was
// accepted before is accepted again, and changes nothing.
func (c *consumer) settle(s *broker.Settlement, sb *settleBatch) error {
	if err := s.Check(c.b.limits); err != nil {
		return err
	}
	d := s.Delivery
	if d.Minion != c.id {
		return lost(d)
	}
	settlement := settled{by: c.number, attempt: d.Attempt, kind: settlementKind(s)}
	r, grave := c.b.index.find(d.ID)
	if r == nil {
		return repeated(grave.last, settlement, d)
	}
	q := r.queue
	sb.lock.take(q)
	if r.state != broker.StateRunning || r.holding.c != c || r.attempt != d.Attempt || c.ended.Load() {
		return repeated(r.last, settlement, d)
	}
	r.last = settlement
	if s.Verb == broker.VerbFinish || r.canceled {
		sb.finish(r, s)
		return nil
	}
	q.detach(r)
	q.watchDeadline(r)
	r.nextAttempt(s.Unstarted)
	switch s.Verb {
	case broker.VerbPark:
		c.able.Park(broker.NeedOf(r.task))
		q.park(r, sb.now.plus(s.Delay))
	case broker.VerbGiveBack:
		sb.giveBack(r)
	default:
		q.again(r, s, sb.now)
	}
	return nil
}

// repeated returns nil if a settlement is the last one that was accepted, and otherwise the
// error for an attempt that the consumer does not own.
func repeated(last, settlement settled, d *broker.Delivery) error {
	if last == settlement {
		return nil
	}
	return lost(d)
}

// lost returns the error for an attempt that the consumer does not own.
func lost(d *broker.Delivery) error {
	return fmt.Errorf("task %s %s, attempt %d: %w", d.Name, d.ID, d.Start, broker.ErrLeaseLost)
}

// finish ends the task: with the outcome of the settlement or, if the task was cancelled
// and the settlement has none, as canceled.
func (sb *settleBatch) finish(r *record, s *broker.Settlement) {
	q := r.queue
	before := q.arrivals.Len()
	if s.Unstarted {
		r.unstarted++ // a requeue counts from here
	}
	if s.Verb == broker.VerbFinish {
		q.finish(r, &s.Outcome, sb.now, &sb.notices)
		q.submit(s.Submit)
	} else {
		q.cancel(r, sb.now, &sb.notices)
	}
	if q.arrivals.Len() > before && (len(sb.arrived) == 0 || sb.arrived[len(sb.arrived)-1] != q.name) {
		sb.arrived = append(sb.arrived, q.name)
	}
}

// giveBack returns a task to the front of its queue. Of the tasks of a batch the first one
// comes first, so each one goes behind the previous. A task with a lane keeps its place there.
func (sb *settleBatch) giveBack(r *record) {
	q := r.queue
	if q.pushLaned(r) {
		return
	}
	q.pushBehind(sb.returned[q], r)
	if sb.returned == nil {
		sb.returned = make(map[*queue]*record, 1)
	}
	sb.returned[q] = r
}

// again lets a task run again, after a delay if there is one: a retry or a snooze.
func (q *queue) again(r *record, s *broker.Settlement, now instant) {
	if s.Verb == broker.VerbRetry {
		r.retried++
		if why := s.LastFailure(); why != nil {
			q.failures.Put(r, why)
		}
	}
	r.overdue = false
	if s.Verb == broker.VerbRetry || !s.Unstarted {
		r.afresh = s.Verb == broker.VerbRetry
	}
	if s.Delay > 0 && !r.awaits(s.Await) {
		q.schedule(r, broker.StateRetrying, now.plus(s.Delay))
	} else {
		q.pushBack(r)
	}
}
