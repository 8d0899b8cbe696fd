package memory

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// Settle ends attempts, as [broker.Consumer] says.
func (c *consumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	if c.closed.Load() {
		return nil, broker.ErrClosed
	}
	now, err := c.b.enter(ctx)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(batch))
	turn := turn{now: now, released: map[*queue]*record{}}
	for i := range batch {
		errs[i] = c.settle(&batch[i], &turn)
	}
	turn.post.deliver(c.b)
	c.b.help(now)
	return errs, nil
}

// turn is what the settlements of one batch share.
type turn struct {
	now      instant
	post     post
	released map[*queue]*record // the last one that was released to the front
}

func (c *consumer) settle(s *broker.Settlement, turn *turn) error {
	now := turn.now
	if err := s.Check(c.b.limits); err != nil {
		return err
	}
	d := s.Delivery
	last := settled{by: c.number, attempt: d.Attempt, as: manner(s)}
	r, tomb := c.b.index.find(d.ID)
	if r == nil {
		if tomb.last == last {
			return nil
		}
		return lost(d)
	}
	q := r.queue
	q.lock(now)
	defer q.unlock()
	if r.state != broker.StateRunning || r.hold.c != c || r.attempt != d.Attempt || c.gone.Load() {
		if r.last == last {
			return nil
		}
		return lost(d)
	}
	r.last = last
	switch {
	case s.Verb == broker.VerbFinish:
		turn.post.add(q.end(r, copyOutcome(&s.Outcome), now))
	case r.canceled:
		turn.post.add(q.cancel(r, now))
	default:
		q.detach(r)
		r.attempt++
		switch s.Verb {
		case broker.VerbRelease:
			// The first one that is released shall come to stand first.
			q.behind(turn.released[q], r)
			turn.released[q] = r
			return nil
		case broker.VerbRetry:
			r.retried++
		}
		if s.Delay > 0 {
			q.wait(r, broker.StateRetrying, now.plus(s.Delay))
		} else {
			q.back(r)
		}
	}
	return nil
}

func lost(d *broker.Delivery) error {
	return fmt.Errorf("task %s %s, attempt %d: %w", d.Name, d.ID, d.Attempt, broker.ErrLeaseLost)
}

// end finishes a task and returns the letter that tells of it.
func (q *queue) end(r *record, o *broker.Outcome, now instant) letter {
	l := letter{inbox: r.task.Inbox, id: r.id, outcome: o}
	q.finish(r, o, now)
	return l
}

// cancel finishes a task as canceled.
func (q *queue) cancel(r *record, now instant) letter {
	return q.end(r, &broker.Outcome{
		State: broker.StateCanceled, Name: r.task.Name, Attempts: r.attempted(), Retried: int(r.retried),
		Enqueued: r.task.Enqueued, Finished: q.b.clock.wall(now),
	}, now)
}
