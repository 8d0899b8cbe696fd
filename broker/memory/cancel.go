package memory

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// Cancel ends tasks; see [broker.Broker]. Owners are told last: an owner may dequeue at
// once, and must not get another task of the same call.
func (b *Broker) Cancel(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]broker.CancelVerdict, len(ids))
	notices := noticeBatch{followers: &b.followers}
	type run struct {
		owner *consumer
		id    broker.ID
	}
	var running []run
	for i, id := range ids {
		r, tomb := b.index.find(id)
		if r == nil {
			if now < tomb.visibleUntil {
				out[i] = broker.CancelTooLate
			}
			continue
		}
		q := r.queue
		q.lock(now)
		switch {
		case r.waits():
			q.cancel(r, now, &notices)
			q.orphan(id)
			out[i] = broker.CancelPrevented
		case r.state == broker.StateRunning:
			q.markCanceled(r)
			if c := r.holding.c; c.cfg.OnCancel != nil {
				running = append(running, run{c, id})
			}
			out[i] = broker.CancelRequested
		case r.visible(now):
			out[i] = broker.CancelTooLate
		}
		q.unlock()
	}
	for _, run := range running {
		run.owner.cfg.OnCancel(run.id)
	}
	notices.deliver(b)
	return out, nil
}
