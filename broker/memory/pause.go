package memory

import (
	"context"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

var _ broker.Pauser = (*Broker)(nil)

// pauses are the pauses of a queue. They exist while there is one, or while tasks are set
// aside. While the whole queue is paused, nothing is taken from it. Otherwise a task whose
// turn it is, and which a pause names, is set aside: it is pending, in no other place. The
// end of a pause puts the tasks that nothing names any more back to the front of the queue,
// and those with a lane to the place that they had.
//
// A task of a sequence that is set aside holds its sequence, as if it ran, so those behind it
// wait.
type pauses struct {
	since map[broker.Pause]instant
	whole bool
	aside recordList
}

// paused reports whether the whole queue is paused.
func (q *queue) paused() bool { return q.pauses != nil && q.pauses.whole }

// names reports whether a pause names a task by its name or key.
func (p *pauses) names(t *broker.Task) bool {
	if p == nil {
		return false
	}
	if p.has(broker.Pause{Task: t.Name}) {
		return true
	}
	return t.Lane != nil && t.Lane.Key != "" && p.has(broker.Pause{Key: t.Lane.Key})
}

func (p *pauses) has(one broker.Pause) bool {
	_, ok := p.since[one]
	return ok
}

// setAside takes a pending task whose turn it is out of its place, since a pause names it.
func (q *queue) setAside(r *record) {
	t := r.lane
	q.detach(r)
	if t != nil && t.sequence != nil {
		t.sequence.holder = t
	}
	r.aside = true
	q.pauses.aside.PushBack(r)
}

// takeBack takes a task that was set aside out of the list. The caller puts it into another
// place.
func (q *queue) takeBack(r *record) {
	r.aside = false
	q.pauses.aside.Remove(r)
	q.tidyPauses()
}

// tidyPauses forgets the pauses if there are none.
func (q *queue) tidyPauses() {
	if len(q.pauses.since) == 0 && q.pauses.aside.Len() == 0 {
		q.pauses = nil
	}
}

// Pause stops the hand-out of tasks; see [broker.Pauser].
func (b *Broker) Pause(ctx context.Context, name string, p broker.Pause) error {
	return b.withQueue(ctx, name, true, p.Check(), func(q *queue, now instant) {
		if q.pauses == nil {
			q.pauses = &pauses{since: map[broker.Pause]instant{}}
		}
		if !q.pauses.has(p) {
			q.pauses.since[p] = now
		}
		q.pauses.whole = q.pauses.whole || p.Whole()
	})
}

// Resume ends a pause; see [broker.Pauser].
func (b *Broker) Resume(ctx context.Context, name string, p broker.Pause) error {
	return b.withQueue(ctx, name, false, p.Check(), func(q *queue, _ instant) {
		if q.pauses == nil || !q.pauses.has(p) {
			return
		}
		delete(q.pauses.since, p)
		if p.Whole() {
			q.pauses.whole = false
		} else {
			q.bringBack()
		}
		if q.pauses != nil {
			q.tidyPauses()
		}
	})
}

// bringBack brings back the tasks that were set aside and that no pause names any more.
func (q *queue) bringBack() {
	p := q.pauses
	stay := recordList{}
	for r := p.aside.Last(); r != nil; r = p.aside.Last() { // from the last one, since each goes to the front
		p.aside.Remove(r)
		if p.names(r.task) {
			stay.PushFront(r)
			continue
		}
		r.aside = false
		q.pushFront(r)
	}
	p.aside = stay
}

// Pauses returns the pauses of a queue; see [broker.Pauser].
func (b *Broker) Pauses(ctx context.Context, name string) (out []broker.PauseInfo, err error) {
	err = b.withQueue(ctx, name, false, nil, func(q *queue, _ instant) {
		if q.pauses == nil {
			return
		}
		for p, since := range q.pauses.since {
			out = append(out, broker.PauseInfo{Pause: p, Since: b.clock.wall(since)})
		}
	})
	slices.SortFunc(out, func(i, j broker.PauseInfo) int { return i.Compare(j.Pause) })
	return out, err
}
