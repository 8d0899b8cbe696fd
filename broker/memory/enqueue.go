package memory

import (
	"context"
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
	var fx conflictEffects
	for at := 0; at < len(tasks); at += broker.MaxBatch {
		part := tasks[at:min(at+broker.MaxBatch, len(tasks))]
		b.enqueue(part, now, &fx, func(i int, err error) {
			if errs == nil {
				errs = make([]error, len(tasks))
			}
			errs[at+i] = err
		})
	}
	fx.deliver(b)
	b.helpSweep(now)
	return broker.NewBatchError(errs)
}

// enqueue stores a part of a batch. It calls fail with the index of each task that it
// refuses.
func (b *Broker) enqueue(tasks []*broker.Task, now instant, fx *conflictEffects, fail func(i int, err error)) {
	b.naming.RLock()
	defer b.naming.RUnlock()
	// Checking and copying take time, so they are done before anything else is locked.
	var few [16]*record
	records := slices.Grow(few[:0], len(tasks))
	slabs := newEnqueueSlabs(len(tasks))
	for i, t := range tasks {
		r, err := b.newRecord(t, now, slabs)
		if err != nil {
			fail(i, err)
		}
		records = append(records, r)
	}
	lock := queueLock{now: now}
	defer lock.release()
	for i, r := range records {
		if r == nil {
			continue
		}
		lock.take(r.queue)
		if err := r.queue.admit(r, tasks[i].Bounded, now, fx); err != nil {
			fail(i, err)
		}
	}
}

// newRecord returns a record for a task, or the reason why it can't be stored.
func (b *Broker) newRecord(t *broker.Task, now instant, slabs *enqueueSlabs) (*record, error) {
	if err := t.Check(b.limits); err != nil {
		return nil, err
	}
	if t.Delay > 0 || t.Flow.Blocked { // it stays for long, so it must not keep the memory of others alive
		slabs = &enqueueSlabs{}
	}
	q := slabs.queue
	if q == nil || q.name != t.Queue {
		q = b.queue(t.Queue)
		slabs.queue = q
	}
	s := slabs.stored.Next()
	s.data = *t
	s.data.Bounded = false
	s.data.Payload, s.data.Meta, s.data.Queue, s.data.Lane = slabs.bytes.Copy(t.Payload), copyMeta(t.Meta), q.name, copyLane(t.Lane)
	s.record = record{id: t.ID, queue: q, digest: t.Digest(), attempt: 1, task: &s.data, deadline: moment{at: never}}
	s.lane = newLaned(&s.record)
	switch t.DeadlineMillis() {
	case 0:
	case -1:
		s.deadline.at = now
	default:
		s.deadline.at = now.plus(t.Deadline)
	}
	return &s.record, nil
}

// admit stores a new record, unless it was stored before, or unless its id or unique key
// belongs to another task, or unless bounded is set and there is no room for it.
func (q *queue) admit(r *record, bounded bool, now instant, fx *conflictEffects) error {
	t := r.task
	keyed := t.Unique.Key != ""
	var k *uniqueKey
	how := keyIsFree
	if keyed {
		k = q.keyOf(t.Unique.Key, now)
		how = k.conflictOf(r, now)
	}
	var full error
	if bounded && how != replaces && (how != waitsFor || k.next == nil) { // otherwise it takes the place of another one that waits
		full = q.full()
	}
	switch known, err := q.b.index.store(r, how == isRefused || how == isOver || full != nil, now); {
	case known || how == isOver:
		return err
	case how == isRefused:
		return k.duplicate(r)
	case full != nil:
		return full
	}
	q.live++
	if keyed {
		q.takeKey(r, k, how, now, fx)
	} else {
		q.place(r, now.plus(max(t.Delay, 0)), now)
	}
	q.watchDeadline(r)
	return nil
}
