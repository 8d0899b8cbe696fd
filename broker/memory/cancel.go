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
	notices := newNoticeBatch(b, len(ids))
	type run struct {
		owner *consumer
		id    broker.ID
	}
	var running []run
	for i, id := range ids {
		r, grave := b.index.lock(id, now)
		if r == nil {
			if now < grave.visibleUntil {
				out[i] = broker.CancelTooLate
			}
			continue
		}
		q := r.queue
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
		default: // a dead letter
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
