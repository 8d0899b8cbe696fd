package memory

import (
	"context"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// parked groups the parked tasks of a queue by their needs, each group in the order of
// parking. Each task is in queue.scheduled too, until its time there is over.
type parked struct {
	needs map[broker.Need]*recordList
	n     int
	news  bool // one was added since the queue was locked
}

func (p *parked) add(r *record) {
	need := broker.NeedOf(r.task)
	l := p.needs[need]
	if l == nil {
		if p.needs == nil { // most queues have no parked tasks
			p.needs = map[broker.Need]*recordList{}
		}
		l = &recordList{}
		p.needs[need] = l
	}
	l.PushBack(r)
	p.n++
	p.news = true
}

func (p *parked) remove(r *record) {
	need := broker.NeedOf(r.task)
	l := p.needs[need]
	l.Remove(r)
	p.n--
	if l.Len() == 0 {
		delete(p.needs, need)
	}
}

// park lets a detached record wait until a time for a consumer that can run it.
func (q *queue) park(r *record, until instant) {
	r.overdue = false
	q.schedule(r, broker.StateParked, until)
	q.parked.add(r)
}

// takeParked hands out parked tasks that the consumer may have until the page is full. A task
// with a lane returns to its line, since it may have to wait there. If the queue is paused the
// tasks become pending.
func (h *holding) takeParked(p *page) {
	for need, l := range h.q.parked.needs {
		if !h.c.able.Fits(need) {
			continue
		}
		for l.Len() > 0 && !p.full() {
			if r := l.First(); r.lane != nil || h.q.paused() {
				h.q.detach(r)
				h.q.pushBack(r)
			} else {
				h.handOut(r, p)
			}
		}
	}
}

// Parked counts the parked tasks; see [broker.Parker].
func (b *Broker) Parked(ctx context.Context, queue string) ([]broker.Parked, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	if err := broker.CheckName("queue", queue); err != nil {
		return nil, err
	}
	q := b.known(queue)
	if q == nil {
		return nil, nil
	}
	q.lock(now)
	defer q.unlock()
	out := make([]broker.Parked, 0, len(q.parked.needs))
	for need, l := range q.parked.needs {
		out = append(out, broker.Parked{Need: need, Tasks: l.Len()})
	}
	slices.SortFunc(out, func(x, y broker.Parked) int { return x.Need.Compare(y.Need) })
	return out, nil
}
