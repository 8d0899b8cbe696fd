package memory

import (
	"github.com/go-arbiter/arbiter/broker"
)

// A parked task that nobody takes in time becomes overdue: it is pending, for any consumer.
// If its queue has no consumer, then or later, for broker.AbandonedAfter, the task is abandoned. No
// consumer of its queue can end it, so the broker asks a consumer of another queue for the
// outcome (ConsumerConfig.OnAbandoned) and ends the task with that. queue.overdue lists the
// overdue tasks of a queue; the alarm of the queue rings when the first one is abandoned.

// abandonedAfter is broker.AbandonedAfter in the unit of the clock.
const abandonedAfter = instant(broker.AbandonedAfter)

// overdueTask is an overdue task: it was parked until its time was over, and is pending since.
type overdueTask struct {
	r  *record
	at instant // when its time was over
}

// waits reports whether the task is overdue, and no consumer holds it. A task that was cancelled
// while it ran waits for a consumer that ends it as canceled.
func (l overdueTask) waits() bool {
	return l.r.state == broker.StatePending && l.r.overdue && l.r.due.at == l.at && !l.r.canceled
}

// addOverdue adds a task that has become overdue.
func (q *queue) addOverdue(r *record) {
	q.trimOverdue()
	q.overdue = append(q.overdue, overdueTask{r, r.due.at})
	q.alarm.set(q.abandonedAt())
}

// over reports whether the task is not overdue any more. A task that a consumer holds still is: the
// consumer may close or die.
func (l overdueTask) over() bool {
	return !l.r.overdue || l.r.due.at != l.at || l.r.state != broker.StatePending && l.r.state != broker.StateRunning
}

// trimOverdue removes tasks from the front of the list that are not overdue any more.
func (q *queue) trimOverdue() {
	n := 0
	for n < len(q.overdue) && q.overdue[n].over() {
		n++
	}
	if n == len(q.overdue) {
		q.overdue = nil // an empty slice would keep the records in memory
		return
	}
	clear(q.overdue[:n])
	q.overdue = q.overdue[n:]
}

// abandonedAt returns when the first overdue task is abandoned: never if there is none, or
// if a consumer serves the queue.
func (q *queue) abandonedAt() instant {
	if q.consumers > 0 || len(q.overdue) == 0 {
		return never
	}
	return max(q.overdue[0].at, q.unservedSince) + abandonedAfter
}

// noteUnserved records that the last consumer has left the queue.
func (q *queue) noteUnserved(now instant) {
	q.unservedSince = now
	q.trimOverdue()
	q.alarm.set(q.abandonedAt())
}

// abandoned returns copies of the abandoned tasks, up to broker.MaxBatch.
func (q *queue) abandoned(now instant) (out []*broker.Delivery) {
	var in dequeueSlabs
	q.trimOverdue()
	for _, l := range q.overdue {
		if q.consumers > 0 || max(l.at, q.unservedSince)+abandonedAfter > now || len(out) == broker.MaxBatch {
			break
		}
		if l.waits() && now < l.r.deadline.at {
			out = append(out, l.r.delivery(now, &in))
		}
	}
	return out
}

// abandon ends abandoned tasks with the outcomes that a consumer gives. If there is no
// consumer to ask, askAgain calls it again when one is opened.
func (b *Broker) abandon(q *queue, tasks []*broker.Delivery) {
	b.unasked.Store(true) // before the list is read, so that a new consumer calls askAgain
	var ask func(*broker.Delivery) broker.Outcome
	for _, c := range b.members.living() {
		if c.cfg.OnAbandoned != nil {
			ask = c.cfg.OnAbandoned
		}
	}
	if ask == nil {
		return
	}
	outcomes := make([]broker.Outcome, len(tasks))
	for i, d := range tasks {
		outcomes[i] = ask(d)
	}
	notices := newNoticeBatch(b, len(tasks))
	ended, arrived := 0, false
	now := b.clock.now()
	q.lock(now)
	for i, d := range tasks {
		s := broker.Settlement{Delivery: d, Verb: broker.VerbFinish, Unstarted: true, Outcome: outcomes[i]}
		r, _ := b.index.find(d.ID)
		if q.consumers > 0 || r == nil || r.state != broker.StatePending || !r.overdue || r.canceled || r.attempt != d.Attempt ||
			s.Outcome.State != broker.StateFailed || s.Check(b.limits) != nil {
			continue
		}
		r.unstarted++ // a requeue counts from here: this attempt was never started
		q.finish(r, &s.Outcome, now, &notices)
		arrived = q.orphan(r.id) || arrived
		ended++
	}
	q.trimOverdue()
	if ended > 0 { // there may be more than one batch
		q.alarm.set(q.abandonedAt())
	}
	q.unlock()
	notices.deliver(b)
	if arrived {
		b.tellOrphans(q)
	}
}

// askAgain looks for abandoned tasks again, after a consumer has come that can be asked.
func (b *Broker) askAgain(c *consumer, now instant) {
	if c.cfg.OnAbandoned == nil || !b.unasked.Swap(false) {
		return
	}
	b.queues.Range(func(_, v any) bool {
		v.(*queue).alarm.set(now)
		return true
	})
}
