package memory

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// arrival is one that waits to be confirmed. But for orphan it is never written
// again.
type arrival struct {
	broker.Arrival
	orphan bool // made by a Cancel: no consumer was told of it
}

// arrive stores an arrival that shares its memory with nobody who writes, unless
// there is one of that task.
func (q *queue) arrive(a broker.Arrival) {
	if _, ok := q.arrivals.get(a.Task); !ok {
		q.arrivals.put(a.Task, &arrival{Arrival: a})
	}
}

// orphan notes that it was a Cancel that made the arrival of a task, if there is
// one.
func (q *queue) orphan(task broker.ID) {
	if a, ok := q.arrivals.get(task); ok && !a.orphan {
		a.orphan = true
		q.orphans.Add(1)
	}
}

// confirm forgets arrivals.
func (q *queue) confirm(tasks []broker.ID) {
	for _, id := range tasks {
		a, ok := q.arrivals.get(id)
		if !ok {
			continue
		}
		q.arrivals.drop(id)
		if a.orphan {
			q.orphans.Add(-1)
		}
	}
}

// submissions returns the arrivals that a settlement makes of the tasks that are
// submitted with it, or why it can't be accepted.
func submissions(s *broker.Settlement, l broker.Limits) ([]broker.Arrival, error) {
	if len(s.Submit) == 0 {
		return nil, nil
	}
	if s.Verb != broker.VerbFinish || s.Outcome.State != broker.StateSucceeded {
		return nil, fmt.Errorf("task %s: %w: only one that succeeded submits tasks", s.Delivery.Name, broker.ErrInvalid)
	}
	out := make([]broker.Arrival, 0, len(s.Submit))
	for _, t := range s.Submit {
		if t == nil {
			return nil, fmt.Errorf("task %s submits %w: no task", s.Delivery.Name, broker.ErrInvalid)
		}
		if err := t.Check(l); err != nil {
			return nil, fmt.Errorf("task %s submits: %w", s.Delivery.Name, err)
		}
		out = append(out, broker.Arrival{Task: broker.SubmitKey(t.ID), Submit: copyTask(t)})
	}
	return out, nil
}

// tell tells the consumer of queues with arrivals, of each once.
func (c *consumer) tell(queues []string) {
	if c.cfg.OnArrivals == nil {
		return
	}
	for i, name := range queues {
		if i == 0 || queues[i-1] != name {
			c.cfg.OnArrivals(name)
		}
	}
}

// tellLeft tells the consumer of its queues that have arrivals.
func (c *consumer) tellLeft(now instant) {
	if c.cfg.OnArrivals == nil {
		return
	}
	var left []string
	for _, h := range c.holds {
		h.q.lock(now)
		if h.q.arrivals.size() > 0 {
			left = append(left, h.q.name)
		}
		h.q.unlock()
	}
	c.tell(left)
}

// arrivalsOf calls fn with each queue that a name stands for, locked, until it
// returns false.
func (b *Broker) arrivalsOf(name string, now instant, fn func(q *queue) bool) {
	visit := func(q *queue) bool {
		q.lock(now)
		defer q.unlock()
		return fn(q)
	}
	if name != "" {
		visit(b.queue(name))
		return
	}
	b.queues.Range(func(_, v any) bool {
		q := v.(*queue)
		return q.orphans.Load() == 0 || visit(q)
	})
}

// checkArrivals checks the name of a queue of arrivals.
func checkArrivals(name string) error {
	if name == "" {
		return nil
	}
	return broker.CheckName("queue", name)
}

// Arrivals returns arrivals, as [broker.Flows] says.
func (b *Broker) Arrivals(ctx context.Context, queue string, limit int) ([]broker.Arrival, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkArrivals(queue); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fmt.Errorf("arrivals: %w: a limit of %d", broker.ErrInvalid, limit)
	}
	limit = min(limit, broker.MaxBatch)
	var found []*arrival
	bytes := 0
	b.arrivalsOf(queue, now, func(q *queue) bool {
		for _, a := range q.arrivals.m {
			if len(found) == limit || bytes >= broker.MaxBatchBytes {
				return false
			}
			found = append(found, a)
			bytes += len(a.Outcome.Result)
			if a.Submit != nil {
				bytes += a.Submit.Size()
			}
		}
		return true
	})
	out := make([]broker.Arrival, 0, len(found))
	for _, a := range found {
		out = append(out, a.copy())
	}
	return out, nil
}

// copy returns what may go out.
func (a *arrival) copy() broker.Arrival {
	c := a.Arrival
	c.Outcome = *copyOutcome(&c.Outcome)
	if c.Submit != nil {
		c.Submit = copyTask(c.Submit)
	}
	return c
}

// Confirm forgets arrivals, as [broker.Flows] says.
func (b *Broker) Confirm(ctx context.Context, queue string, tasks []broker.ID) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	if err := checkArrivals(queue); err != nil {
		return err
	}
	b.arrivalsOf(queue, now, func(q *queue) bool {
		q.confirm(tasks)
		return true
	})
	return nil
}
