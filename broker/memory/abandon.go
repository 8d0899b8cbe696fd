package memory

import (
	"github.com/go-arbiter/arbiter/broker"
)

const abandonedAfter = instant(broker.AbandonedAfter)

// late is a task that was parked until its time was over, and is pending now.
type late struct {
	r  *record
	at instant // when its time was over
}

// waits reports whether nobody has taken the task since.
func (l late) waits() bool {
	return l.r.state == broker.StatePending && l.r.overdue && l.r.at == l.at
}

// noteLate notes a task whose time as a parked one is over.
func (q *queue) noteLate(r *record) {
	q.trimLate()
	q.late = append(q.late, late{r, r.at})
	q.alarm.set(q.abandonedAt())
}

// trimLate forgets the first ones if somebody has taken them.
func (q *queue) trimLate() {
	n := 0
	for n < len(q.late) && !q.late[n].waits() {
		n++
	}
	if n == len(q.late) {
		q.late = nil // its array keeps records
		return
	}
	clear(q.late[:n])
	q.late = q.late[n:]
}

// abandonedAt returns when the first task is abandoned that is late; never if there is
// none, or a consumer serves the queue.
func (q *queue) abandonedAt() instant {
	if q.serving > 0 || len(q.late) == 0 {
		return never
	}
	return max(q.late[0].at, q.left) + abandonedAfter
}

// unserved notes that the last consumer has left the queue.
func (q *queue) unserved(now instant) {
	q.left = now
	q.trimLate()
	q.alarm.set(q.abandonedAt())
}

// abandoned returns copies of tasks that are abandoned, no more than a batch.
func (q *queue) abandoned(now instant) (out []*broker.Delivery) {
	var in outtake
	q.trimLate()
	for _, l := range q.late {
		if q.serving > 0 || max(l.at, q.left)+abandonedAfter > now || len(out) == broker.MaxBatch {
			break
		}
		if l.waits() && now < l.r.deadline {
			out = append(out, l.r.delivery(now, &in))
		}
	}
	return out
}

// abandon ends tasks that are abandoned: a consumer is asked how. Without one it is done
// when one comes.
func (b *Broker) abandon(q *queue, tasks []*broker.Delivery) {
	b.unheard.Store(true) // first: whoever comes from now on sees to it
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
	post := post{also: &b.followers}
	ended, arrived := 0, false
	now := b.clock.now()
	q.lock(now)
	for i, d := range tasks {
		s := broker.Settlement{Delivery: d, Verb: broker.VerbFinish, Unstarted: true, Outcome: outcomes[i]}
		r, _ := b.index.find(d.ID)
		if q.serving > 0 || r == nil || r.state != broker.StatePending || !r.overdue || r.attempt != d.Attempt ||
			s.Outcome.State != broker.StateFailed || s.Check(b.limits) != nil {
			continue
		}
		r.unstarted++ // as a requeue must know: this attempt does not come
		inbox := r.task.Inbox
		written := post.write(&s.Outcome)
		q.finish(r, &s.Outcome, written, now)
		post.add(inbox, r.id, written)
		arrived = q.orphan(r.id) || arrived
		ended++
	}
	q.trimLate()
	if ended > 0 { // there may be more
		q.alarm.set(q.abandonedAt())
	}
	q.unlock()
	post.deliver(b)
	if arrived {
		b.tellArrivals(q)
	}
}

// hear lets a consumer that has come be asked about what is abandoned.
func (b *Broker) hear(c *consumer, now instant) {
	if c.cfg.OnAbandoned == nil || !b.unheard.Swap(false) {
		return
	}
	b.queues.Range(func(_, v any) bool {
		v.(*queue).alarm.set(now)
		return true
	})
}
