package memory

import (
	"context"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// Lookup returns the status of tasks and flows; see [broker.Broker].
func (b *Broker) Lookup(ctx context.Context, ids []broker.ID) ([]broker.Status, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]broker.Status, len(ids))
	for i, id := range ids {
		out[i] = b.status(id, now)
	}
	return out, nil
}

// status returns the status of a task or flow. Its state is unknown if there is none.
func (b *Broker) status(id broker.ID, now instant) broker.Status {
	r, grave := b.index.lock(id, now)
	if r != nil {
		defer r.queue.unlock()
		return r.status()
	}
	st := broker.Status{ID: id}
	switch {
	case now < grave.visibleUntil:
		if k, ok := b.index.kept(id, now); ok {
			o := decoded(k.outcome)
			st.State, st.Queue, st.Name, st.Attempt = o.State, k.queue, o.Name, o.Attempts
			st.Meta, st.Outcome = k.meta, o
		}
	case isFlow(id):
		b.index.flowStatus(&st, now)
	}
	return st
}

// status returns the status of a task that is not over, or of a dead letter. The queue is
// locked.
func (r *record) status() broker.Status {
	st := broker.Status{
		ID: r.id, State: r.state, Queue: r.queue.name, Attempt: r.starts(), Name: r.task.Name, Meta: copyMeta(r.meta()),
	}
	if f, ok := r.queue.failures.Get(r); ok {
		copied := *f
		copied.Err.Chain, copied.Err.Codes = slices.Clone(f.Err.Chain), slices.Clone(f.Err.Codes)
		st.Failed = &copied
	}
	switch r.state {
	case broker.StateRunning:
		st.Minion = r.holding.c.id
	case broker.StateScheduled, broker.StateRetrying, broker.StateBlocked, broker.StateParked:
		if r.queue.scheduled.has(r) {
			st.Due = r.queue.b.clock.wall(r.due.at)
		}
	case broker.StateFailed:
		st.Outcome = copyOutcome(r.outcome)
	}
	return st
}
