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
		out[i].ID = id
		r, _ := b.index.find(id)
		if r != nil {
			r.queue.lock(now)
			ended := r.task == nil && r.outcome == nil // in the time since find
			r.status(&out[i], now)
			r.queue.unlock()
			if !ended {
				continue
			}
		}
		if queue, o, meta := b.index.final(id, now); o != nil {
			out[i] = broker.Status{ID: id, State: o.State, Queue: queue, Name: o.Name, Meta: meta, Attempt: o.Attempts, Outcome: o}
		} else if r == nil && isFlow(id) {
			b.index.flowStatus(&out[i], now)
		}
	}
	return out, nil
}

func (r *record) status(st *broker.Status, now instant) {
	if !r.visible(now) {
		return
	}
	st.State, st.Queue, st.Attempt = r.state, r.queue.name, r.starts()
	if r.task != nil {
		st.Name, st.Meta = r.task.Name, copyMeta(r.task.Meta)
	}
	if f, ok := r.queue.failures.get(r); ok {
		copied := *f
		copied.Err.Chain, copied.Err.Codes = slices.Clone(f.Err.Chain), slices.Clone(f.Err.Codes)
		st.Failed = &copied
	}
	switch r.state {
	case broker.StateRunning:
		st.Minion = r.holding.c.id
	case broker.StateScheduled, broker.StateRetrying, broker.StateBlocked, broker.StateParked:
		if r.heapIndex >= 0 {
			st.Due = r.queue.b.clock.wall(r.at)
		}
	}
	if r.outcome != nil {
		st.Outcome = copyOutcome(r.outcome)
		st.Name = r.outcome.Name
	}
}
