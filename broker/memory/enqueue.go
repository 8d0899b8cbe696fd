package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// Enqueue stores tasks; see [broker.Broker].
func (b *Broker) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for at := 0; at < len(tasks); at += broker.MaxBatch {
		part := tasks[at:min(at+broker.MaxBatch, len(tasks))]
		b.enqueue(part, now, func(i int, err error) {
			if errs == nil {
				errs = make([]error, len(tasks))
			}
			errs[at+i] = err
		})
	}
	b.helpSweep(now)
	return broker.NewBatchError(errs)
}

// enqueue stores a part of a batch. It calls fail with the index of each task that it
// refuses.
func (b *Broker) enqueue(tasks []*broker.Task, now instant, fail func(i int, err error)) {
	b.naming.RLock()
	defer b.naming.RUnlock()
	// Checking and copying take time, so they are done before anything else is locked.
	var few [16]*record
	records := slices.Grow(few[:0], len(tasks))
	slabs := newEnqueueSlabs(len(tasks))
	for i, t := range tasks {
		r, err := b.record(t, now, slabs)
		if err != nil {
			fail(i, err)
		}
		records = append(records, r)
	}
	var locks enqueueLocks
	defer locks.release()
	for i, r := range records {
		if r == nil {
			continue
		}
		locks.take(r.queue, b.index.shard(r.id), now)
		if err := r.queue.admit(r, locks.shard, now); err != nil {
			fail(i, err)
		}
	}
}

// enqueueLocks holds the locks of one queue and one shard. Tasks that follow each other in
// a batch mostly have the same ones, so the locks are kept from one task to the next.
type enqueueLocks struct {
	queue *queue
	shard *shard
}

// take locks a queue and then a shard, and before that unlocks others that it holds.
func (l *enqueueLocks) take(q *queue, s *shard, now instant) {
	if l.queue == q && l.shard == s {
		return
	}
	if l.shard != nil { // a queue is locked before a shard
		l.shard.mu.Unlock()
	}
	if l.queue != q {
		if l.queue != nil {
			l.queue.unlock()
		}
		l.queue = q
		q.lock(now)
	}
	l.shard = s
	s.mu.Lock()
}

// release unlocks both.
func (l *enqueueLocks) release() {
	if l.shard != nil {
		l.shard.mu.Unlock()
	}
	if l.queue != nil {
		l.queue.unlock()
	}
}

// record returns a new record for a task, or the reason why it can't be stored.
func (b *Broker) record(t *broker.Task, now instant, slabs *enqueueSlabs) (*record, error) {
	if t == nil {
		return nil, fmt.Errorf("%w: no task", broker.ErrInvalid)
	}
	if err := t.Check(b.limits); err != nil {
		return nil, err
	}
	if t.Delay > 0 || t.Blocked { // it stays for long, so it must not keep the memory of others alive
		slabs = &enqueueSlabs{}
	}
	q := slabs.queue
	if q == nil || q.name != t.Queue {
		q = b.queue(t.Queue)
		slabs.queue = q
	}
	s := slabs.stored.Next()
	s.data = *t
	s.data.Payload, s.data.Meta = slabs.bytes.Copy(t.Payload), copyMeta(t.Meta)
	s.data.Queue = q.name
	s.record = record{
		id: t.ID, queue: q, digest: t.Digest(),
		attempt: 1, heapIndex: -1, deadline: never,
		visibleUntil: never, idUntil: never,
		task: &s.data,
	}
	r := &s.record
	switch t.DeadlineMillis() {
	case 0:
	case -1:
		r.deadline = now
	default:
		r.deadline = now.plus(t.Deadline)
	}
	return r, nil
}

// admit stores a new record, unless it was stored before, or unless its id or unique key
// belongs to another task. The shard is the one of its id, and is locked.
func (q *queue) admit(r *record, s *shard, now instant) error {
	t := r.task
	if digest, ok := s.taken(r.id, now); ok {
		if digest == r.digest {
			return nil
		}
		return &broker.DuplicateError{ID: r.id, Holder: r.id}
	}
	if t.Unique != "" {
		if h := q.holder(t.Unique); h != nil {
			return &broker.DuplicateError{ID: r.id, Holder: h.id, Key: t.Unique}
		}
		q.unique.put(t.Unique, r)
	}
	s.add(r)
	q.live++
	switch {
	case t.Blocked:
		q.block(r, t.Delay, now)
	case t.Delay > 0:
		q.schedule(r, broker.StateScheduled, now.plus(t.Delay))
	default:
		q.pushBack(r)
	}
	q.watchDeadline(r)
	return nil
}
