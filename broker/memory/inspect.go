package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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
		pending := q.pending.Len()
		if q.lanes != nil {
			pending += q.lanes.waiting
		}
		if q.pauses != nil {
			pending += q.pauses.aside.Len()
		}
		out = append(out, broker.QueueInfo{
			Name: q.name, Pending: pending, Running: q.running, Scheduled: q.scheduled.Len() - q.parked.n,
			Parked: q.parked.n, Dead: q.dead.Len(), Paused: q.paused(), Bound: q.bound,
		})
		q.unlock()
		return true
	})
	slices.SortFunc(out, func(x, y broker.QueueInfo) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// Minions returns the living minions, the oldest first.
func (b *Broker) Minions(ctx context.Context) ([]broker.MinionInfo, error) {
	if _, err := b.enter(ctx); err != nil {
		return nil, err
	}
	m := &b.members
	m.mu.Lock()
	infos := make([]broker.MinionInfo, 0, len(m.all))
	order := make(map[broker.ID]uint32, len(m.all))
	for c := range m.all {
		order[c.id] = c.number
		infos = append(infos, broker.MinionInfo{
			ID: c.id, Queues: slices.Clone(c.cfg.Queues), Slots: c.cfg.Slots, Active: c.active,
			Host: c.cfg.Host, PID: c.cfg.PID, Tasks: maps.Clone(c.cfg.Tasks),
			Started: b.clock.wall(c.started), Beat: b.clock.wall(c.beat),
		})
	}
	m.mu.Unlock()
	slices.SortFunc(infos, func(x, y broker.MinionInfo) int {
		return cmp.Compare(order[x.ID], order[y.ID])
	})
	return infos, nil
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
	for r := range q.dead.All() {
		if r.seq <= from {
			continue
		}
		if len(out) == limit {
			return out, strconv.FormatUint(from, 10), nil
		}
		from = r.seq
		letter := broker.DeadLetter{Task: *copyTask(r.task)}
		letter.Outcome = *copyOutcome(r.outcome)
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
		if r, _ := b.index.lock(id, now); r != nil {
			err = r.queue.requeue(r, now)
			r.queue.unlock()
		}
		if errors.Is(err, broker.ErrNotFound) {
			err = fmt.Errorf("dead letter %s: %w", id, err)
		}
		errs[i] = err
	}
	return errs, nil
}

// requeue makes a dead letter pending.
func (q *queue) requeue(r *record, now instant) error {
	if r.state != broker.StateFailed {
		return broker.ErrNotFound
	}
	if err := q.retakeKey(r, now); err != nil {
		return err
	}
	q.detach(r)
	if alone := *r.task; alone.Flow.Squad || !alone.Flow.ID.IsZero() {
		// Its squad has ended, so it starts alone. Its flow has counted its failure, and
		// counts each member once, so it must not leave another arrival.
		alone.Flow.Squad = false
		r.task = &alone
		r.flowCounted = true
	}
	r.nextAttempt(false)
	r.retried, r.recoveries, r.strikes = 0, 0, 0
	r.canceled, r.overdue, r.afresh = false, false, true
	r.deadline.at, r.outcome = never, nil
	q.pushBack(r)
	return nil
}
