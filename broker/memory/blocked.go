package memory

import (
	"context"
	"fmt"
	"maps"

	"github.com/go-arbiter/arbiter/broker"
)

// Blocked returns blocked tasks; see [broker.Flows].
func (b *Broker) Blocked(ctx context.Context, ids []broker.ID) ([]*broker.Task, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]*broker.Task, len(ids))
	for i, id := range ids {
		r, _ := b.index.lock(id, now)
		if r == nil {
			continue
		}
		blocked, t := r.state == broker.StateBlocked && !r.behind, r.task
		r.queue.unlock()
		if blocked {
			out[i] = copyTask(t)
		}
	}
	return out, nil
}

// Release makes blocked tasks pending; see [broker.Flows].
func (b *Broker) Release(ctx context.Context, tasks []*broker.Task) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i, t := range tasks {
		if err := b.release(t, now); err != nil {
			if errs == nil {
				errs = make([]error, len(tasks))
			}
			errs[i] = err
		}
	}
	return broker.NewBatchError(errs)
}

func (b *Broker) release(t *broker.Task, now instant) error {
	if err := t.Check(b.limits); err != nil {
		return err
	}
	whole := copyTask(t) // before the queue is locked, since it takes time
	r, _ := b.index.lock(t.ID, now)
	if r == nil {
		return nil
	}
	q := r.queue
	defer q.unlock()
	if t.Queue != q.name {
		return fmt.Errorf("task %s: %w: it is in queue %s, not %s", t.Name, broker.ErrInvalid, q.name, t.Queue)
	}
	if r.state != broker.StateBlocked || r.behind {
		return nil
	}
	// The task keeps the fields by which others find it.
	whole.Queue, whole.Unique, whole.Inbox = q.name, r.task.Unique, r.task.Inbox
	whole.Flow.ID, whole.Flow.Step = r.task.Flow.ID, r.task.Flow.Step
	if !r.relabeled && !maps.Equal(whole.Meta, r.task.Meta) {
		r.relabeled = true
		q.metas.Put(r, r.task.Meta)
	}
	q.detach(r)
	r.task = whole
	q.relane(r)
	q.pushBack(r)
	return nil
}

// meta returns the metadata of the enqueue of a task. A release may have replaced it for the
// consumers.
func (r *record) meta() map[string]string {
	if r.relabeled {
		meta, _ := r.queue.metas.Get(r)
		return meta
	}
	return r.task.Meta
}
