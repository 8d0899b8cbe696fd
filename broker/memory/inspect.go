package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-arbiter/arbiter/broker"
)

// Queues counts the tasks of each queue; see [broker.Inspector].
func (b *Broker) Queues(ctx context.Context) ([]broker.QueueInfo, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	var out []broker.QueueInfo
	b.queues.Range(func(_, v any) bool {
		q := v.(*queue)
		q.lock(now)
		out = append(out, broker.QueueInfo{
			Name: q.name, Pending: q.pending.n, Running: q.running, Scheduled: len(q.scheduled) - q.timedBlocked - q.parked.n,
			Parked: q.parked.n, Dead: q.dead.n,
		})
		q.unlock()
		return true
	})
	slices.SortFunc(out, func(x, y broker.QueueInfo) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// DeadLetters lists dead letters, oldest first; see [broker.Inspector].
func (b *Broker) DeadLetters(ctx context.Context, queue, after string, limit int) ([]broker.DeadLetter, string, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, "", err
	}
	if err := broker.CheckName("queue", queue); err != nil {
		return nil, "", err
	}
	if limit < 1 {
		return nil, "", fmt.Errorf("dead letters of %s: %w: a limit of %d, want 1 or more", queue, broker.ErrInvalid, limit)
	}
	from := uint64(0)
	if after != "" {
		if from, err = strconv.ParseUint(after, 10, 64); err != nil {
			return nil, "", fmt.Errorf("dead letters of %s: %w cursor %.40q", queue, broker.ErrInvalid, after)
		}
	}
	q := b.known(queue)
	if q == nil {
		return nil, "", nil
	}
	q.lock(now)
	defer q.unlock()
	var out []broker.DeadLetter
	for r := q.dead.head; r != nil; r = r.next {
		if r.seq <= from {
			continue
		}
		if len(out) == limit {
			return out, strconv.FormatUint(from, 10), nil
		}
		from = r.seq
		letter := broker.DeadLetter{Task: *copyTask(r.task)}
		if r.outcome != nil {
			letter.Outcome = *copyOutcome(r.outcome)
		}
		out = append(out, letter)
	}
	return out, "", nil
}

// Requeue makes dead letters pending again, without their deadlines; see
// [broker.Inspector].
func (b *Broker) Requeue(ctx context.Context, ids []broker.ID) ([]error, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(ids))
	for i, id := range ids {
		err := broker.ErrNotFound
		if r, _ := b.index.find(id); r != nil {
			err = r.queue.requeue(r, now)
		}
		if errors.Is(err, broker.ErrNotFound) {
			err = fmt.Errorf("dead letter %s: %w", id, err)
		}
		errs[i] = err
	}
	return errs, nil
}

func (q *queue) requeue(r *record, now instant) error {
	q.lock(now)
	defer q.unlock()
	// A failed task is in a heap only if it is a dead letter.
	if r.state != broker.StateFailed || r.heapIndex < 0 {
		return broker.ErrNotFound
	}
	key := r.task.Unique
	if h := q.holder(key); key != "" && h != nil {
		return &broker.DuplicateError{ID: r.id, Holder: h.id, Key: key}
	}
	if !q.b.index.revive(r) {
		return broker.ErrNotFound
	}
	if key != "" {
		q.unique.put(key, r)
	}
	q.detach(r)
	if alone := *r.task; alone.Squad || !alone.Group.IsZero() {
		// Its squad has ended, so it starts alone. Its flow has counted its failure, and
		// counts each member once, so it must not leave another arrival.
		alone.Squad = false
		r.task = &alone
		r.flowCounted = true
	}
	r.nextAttempt(false)
	r.retried, r.recoveries, r.strikes = 0, 0, 0
	r.canceled, r.overdue, r.afresh = false, false, true
	r.deadline, r.outcome = never, nil
	q.pushBack(r)
	return nil
}
