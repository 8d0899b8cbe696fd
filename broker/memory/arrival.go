package memory

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// An arrival tells the drivers of groups and pipes that a member has ended. It is stored in
// the queue of the member in the same step as the outcome, and stays until a driver has
// counted and confirmed it. A settlement tells its own consumer at once. A cancel or an
// expiry has no consumer, so its arrivals are marked as orphans: Arrivals of the empty
// queue name finds those of all queues.

// arrival is a stored arrival. Only orphan changes after it was stored.
type arrival struct {
	broker.Arrival
	orphan bool // made by a Cancel or an expiry
}

// arrivalKey identifies an arrival of a queue. A task can have two at the same time: it may
// be final before its own submission is confirmed.
type arrivalKey struct {
	task    broker.ID
	submits bool
}

func keyOf(a *broker.Arrival) arrivalKey { return arrivalKey{a.Task, a.Submit != nil} }

// arrive stores an arrival unless the queue has one with the same key. Nobody may write to
// the memory of the arrival any more.
func (q *queue) arrive(a broker.Arrival) {
	a.Queue = q.name
	k := keyOf(&a)
	if _, has := q.arrivals.Get(k); !has {
		q.arrivals.Put(k, &arrival{Arrival: a})
	}
}

// orphan marks the arrival of a task as one that no settlement has made. It reports whether
// the task has an arrival.
func (q *queue) orphan(task broker.ID) bool {
	a, ok := q.arrivals.Get(arrivalKey{task: task})
	if ok && !a.orphan {
		a.orphan = true
		q.orphans.Add(1)
	}
	return ok
}

// confirm removes an arrival.
func (q *queue) confirm(k arrivalKey) {
	a, ok := q.arrivals.Get(k)
	if !ok {
		return
	}
	q.arrivals.Drop(k)
	if a.orphan {
		q.orphans.Add(-1)
	}
}

// submit stores copies of the tasks of Settlement.Submit, as arrivals.
func (q *queue) submit(tasks []*broker.Task) {
	for _, t := range tasks {
		q.arrive(broker.Arrival{Task: t.ID, Submit: copyTask(t)})
	}
}

// tellArrivals calls OnArrivals for the queues.
func (c *consumer) tellArrivals(queues []string) {
	if c.cfg.Flows.OnArrivals == nil {
		return
	}
	for _, name := range queues {
		c.cfg.Flows.OnArrivals(name)
	}
}

// tellStoredArrivals calls OnArrivals for those queues of the consumer that have arrivals.
func (c *consumer) tellStoredArrivals(now instant) {
	if c.cfg.Flows.OnArrivals == nil {
		return
	}
	var left []string
	for _, h := range c.holdings {
		h.q.lock(now)
		if h.q.arrivals.Len() > 0 || len(h.q.halts) > 0 {
			left = append(left, h.q.name)
		}
		h.q.unlock()
	}
	c.tellArrivals(left)
}

// tellOrphans tells of arrivals that no settlement has made. It calls OnArrivals of the
// consumers of the queue. If there are none it tells all inboxes, since somebody may wait
// there for the group or pipe.
func (b *Broker) tellOrphans(q *queue) {
	told := false
	for _, c := range b.members.living() {
		if c.holdingOf(q.name) != nil && c.cfg.Flows.OnArrivals != nil {
			c.cfg.Flows.OnArrivals(q.name)
			told = true
		}
	}
	if told {
		return
	}
	for _, in := range b.inboxes.open() {
		in.tellArrivals()
	}
}

// Arrivals returns arrivals of a queue; see [broker.Flows].
func (b *Broker) Arrivals(ctx context.Context, name string, limit int) ([]broker.Arrival, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fmt.Errorf("arrivals: %w: a limit of %d, want 1 or more", broker.ErrInvalid, limit)
	}
	page := arrivalPage{limit: min(limit, broker.MaxBatch)}
	if name != "" {
		if err := broker.CheckName("queue", name); err != nil {
			return nil, err
		}
		if q := b.known(name); q != nil {
			page.read(q, now)
		}
	} else {
		b.queues.Range(func(_, v any) bool {
			if q := v.(*queue); q.orphans.Load() > 0 {
				page.read(q, now)
			}
			return !page.full()
		})
	}
	out := make([]broker.Arrival, len(page.found))
	for i, a := range page.found {
		out[i] = a.copy()
	}
	return out, nil
}

// arrivalPage collects the arrivals for one call of Arrivals.
type arrivalPage struct {
	limit int
	found []*arrival
	bytes int
}

func (p *arrivalPage) full() bool {
	return len(p.found) == p.limit || p.bytes >= broker.MaxBatchBytes
}

func (p *arrivalPage) read(q *queue, now instant) {
	q.lock(now)
	defer q.unlock()
	p.addOverdueKills(q, now)
	for _, a := range q.arrivals.All() {
		if p.full() {
			return
		}
		p.found = append(p.found, a)
		p.bytes += len(a.Outcome.Result)
		if a.Submit != nil {
			p.bytes += a.Submit.Size()
		}
	}
}

// copy returns a copy for the caller.
func (a *arrival) copy() broker.Arrival {
	c := a.Arrival
	c.Outcome = *copyOutcome(&c.Outcome)
	if c.Submit != nil {
		c.Submit = copyTask(c.Submit)
	}
	return c
}

// Confirm removes arrivals; see [broker.Flows].
func (b *Broker) Confirm(ctx context.Context, arrivals []broker.Arrival) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	for i := range arrivals {
		if err := broker.CheckName("queue", arrivals[i].Queue); err != nil {
			return err
		}
	}
	for at := 0; at < len(arrivals); {
		q := b.known(arrivals[at].Queue)
		if q == nil {
			at++
			continue
		}
		q.lock(now)
		for at < len(arrivals) && arrivals[at].Queue == q.name {
			if a := &arrivals[at]; a.Kill {
				q.resume(a.Flow)
			} else {
				q.confirm(keyOf(a))
			}
			at++
		}
		q.unlock()
	}
	return nil
}
