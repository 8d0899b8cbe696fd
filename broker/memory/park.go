package memory

import (
	"context"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// parked are the parked tasks of a queue by what they need: those of a need in the order
// in which they were parked. Each is in queue.later too, until its time there is over.
type parked struct {
	needs map[broker.Need]*list
	n     int
	news  bool // one was added since the queue was locked
}

func (p *parked) add(r *record) {
	need := broker.NeedOf(r.task)
	l := p.needs[need]
	if l == nil {
		if p.needs == nil { // most queues have none
			p.needs = map[broker.Need]*list{}
		}
		l = &list{}
		p.needs[need] = l
	}
	l.pushBack(r)
	p.n++
	p.news = true
}

func (p *parked) remove(r *record) {
	need := broker.NeedOf(r.task)
	l := p.needs[need]
	l.remove(r)
	p.n--
	if l.n == 0 {
		delete(p.needs, need)
	}
}

// park lets a detached record wait for a consumer that can run it, until a time.
func (q *queue) park(r *record, until instant) {
	r.overdue = false
	q.wait(r, broker.StateParked, until)
	q.parked.add(r)
}

// takeParked adds to out what the consumer may have of what is parked, up to most in
// all. Bytes is how large those of out are.
func (c *consumer) takeParked(h *hold, out []*broker.Delivery, most, bytes int, now instant) ([]*broker.Delivery, int) {
	var in outtake
	for need, l := range h.q.parked.needs {
		if !c.able.Fits(need) {
			continue
		}
		for l.n > 0 && len(out) < most && bytes < broker.MaxBatchBytes {
			r := l.head
			if h.q.halted(r) {
				h.q.bar(r)
				continue
			}
			bytes += r.task.Size()
			out = append(out, h.own(r, now, &in))
		}
	}
	return out, bytes
}

// Parked counts what is parked, as [broker.Parker] says.
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
		out = append(out, broker.Parked{Need: need, Tasks: l.n})
	}
	slices.SortFunc(out, func(x, y broker.Parked) int { return x.Need.Compare(y.Need) })
	return out, nil
}
