package memory

import (
	"github.com/go-arbiter/arbiter/broker"
)

// finish ends a task with an outcome, and adds a notice. The task becomes
// a dead letter or a tombstone. A member of a flow leaves an arrival, too.
func (q *queue) finish(r *record, o *broker.Outcome, now instant, p *noticeBatch) {
	t := r.task
	q.detach(r)
	q.unwatchDeadline(r)
	r.state = o.State
	if r.lane != nil {
		q.endLaned(r)
	}
	if t.Unique.Key != "" {
		q.freeKey(r, now)
	}
	if !t.Flow.ID.IsZero() && !r.flowCounted {
		q.arrive(broker.Arrival{Task: r.id, Flow: t.Flow.ID, Step: t.Flow.Step, Outcome: *copyOutcome(o)})
	}
	if r.retried > 0 {
		q.failures.Drop(r)
	}
	encoded := p.encode(o)
	if o.State == broker.StateFailed && t.DeadFor > 0 {
		q.keepDead(r, o, max(t.Retention, t.DeadFor), now)
	} else {
		grave := tombstone{idUntil: now.plus(max(t.Retention, broker.MinTombstone))}
		if t.Retention > 0 {
			grave.visibleUntil = now.plus(t.Retention)
		}
		q.bury(r, grave, encoded)
	}
	p.add(t.Inbox, r.id, encoded)
}

// drop ends a task that no settlement has ended, as canceled or expired.
func (q *queue) drop(r *record, state broker.State, now instant, p *noticeBatch) {
	q.finish(r, q.endOf(r, state, now), now, p)
}

// dropFor ends a task as canceled, because another one takes its unique key or its place behind
// the holder.
func (q *queue) dropFor(r, by *record, now instant, p *noticeBatch) {
	o := q.endOf(r, broker.StateCanceled, now)
	o.ReplacedBy = by.id
	q.finish(r, o, now, p)
}

// endOf returns the outcome of a task that no settlement has ended.
func (q *queue) endOf(r *record, state broker.State, now instant) *broker.Outcome {
	return &broker.Outcome{
		State: state, Codec: r.task.Codec, Name: r.task.Name, Attempts: r.starts(), Retried: int(r.retried),
		Enqueued: r.task.Enqueued, Finished: q.b.clock.wall(now),
	}
}

// cancel ends a task as canceled.
func (q *queue) cancel(r *record, now instant, p *noticeBatch) {
	q.drop(r, broker.StateCanceled, now, p)
}
