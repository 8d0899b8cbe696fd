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
	if t.Unique != "" && q.holder(t.Unique) == r {
		q.unique.Drop(t.Unique)
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
			grave.kept = kept{visibleUntil: now.plus(t.Retention), queue: q, outcome: p.kept.Copy(encoded), meta: t.Meta}
		}
		q.bury(r, grave)
	}
	p.add(t.Inbox, r.id, encoded)
}

// drop ends a task that no settlement has ended, as canceled or expired.
func (q *queue) drop(r *record, state broker.State, now instant, p *noticeBatch) {
	q.finish(r, &broker.Outcome{
		State: state, Codec: r.task.Codec, Name: r.task.Name, Attempts: r.starts(), Retried: int(r.retried),
		Enqueued: r.task.Enqueued, Finished: q.b.clock.wall(now),
	}, now, p)
}

// cancel ends a task as canceled.
func (q *queue) cancel(r *record, now instant, p *noticeBatch) {
	q.drop(r, broker.StateCanceled, now, p)
}
