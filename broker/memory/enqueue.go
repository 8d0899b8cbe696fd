package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// Enqueue stores tasks; see [broker.Broker]. It first makes all records of a part of the
// batch without a lock. Then it adds them, and keeps the lock of a queue and a shard while
// the next task has the same ones.
func (b *Broker) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	var errs []error
	fail := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(tasks))
		}
		errs[i] = err
	}
	var few [16]*record
	for at := 0; at < len(tasks); at += broker.MaxBatch {
		part := tasks[at:min(at+broker.MaxBatch, len(tasks))]
		// Checking and copying take time, so they are done before anything is locked.
		records := slices.Grow(few[:0], len(part))
		b.naming.RLock()
		in := newIntake(len(part))
		for i, t := range part {
			r, err := b.record(t, now, in)
			if err != nil {
				fail(at+i, err)
			}
			records = append(records, r)
		}
		var q *queue
		var s *shard
		for i, r := range records {
			if r == nil {
				continue
			}
			next := b.index.shard(r.id)
			if s != nil && (next != s || r.queue != q) { // only one queue may be locked with a shard
				s.mu.Unlock()
				s = nil
			}
			if r.queue != q {
				if q != nil {
					q.unlock()
				}
				q = r.queue
				q.lock(now)
			}
			if s == nil { // else both ids are most likely of the same block
				s = next
				s.mu.Lock()
			}
			if err := q.admit(r, s, now); err != nil {
				fail(at+i, err)
			}
		}
		if q != nil {
			s.mu.Unlock()
			q.unlock()
		}
		b.naming.RUnlock()
	}
	b.help(now)
	return broker.NewBatchError(errs)
}

// record returns a new record for a task, or the reason why it can't be stored.
func (b *Broker) record(t *broker.Task, now instant, in *intake) (*record, error) {
	if t == nil {
		return nil, fmt.Errorf("%w: no task", broker.ErrInvalid)
	}
	if err := t.Check(b.limits); err != nil {
		return nil, err
	}
	if t.Delay > 0 || t.Blocked { // it stays for long, so it must not keep the memory of others alive
		in = &intake{}
	}
	q := in.queue
	if q == nil || q.name != t.Queue {
		q = b.queue(t.Queue)
		in.queue = q
	}
	s := in.stored.Next()
	s.data = *t
	s.data.Payload, s.data.Meta = in.bytes.Copy(t.Payload), copyMeta(t.Meta)
	s.data.Queue = q.name
	s.record = record{
		id: t.ID, queue: q, digest: t.Digest(),
		attempt: 1, slot: -1, deadline: never,
		kept: never, forgotten: never,
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
		q.wait(r, broker.StateScheduled, now.plus(t.Delay))
	default:
		q.back(r)
	}
	q.watch(r)
	return nil
}
