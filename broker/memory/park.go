package memory

import (
	"context"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// parked groups the parked tasks of a queue by their needs, each group in the order of
// parking. Each task is in queue.scheduled too, until its time there is over.
type parked struct {
	needs map[broker.Need]*list
	n     int
	news  bool // one was added since the queue was locked
}

func (p *parked) add(r *record) {
	need := broker.NeedOf(r.task)
	l := p.needs[need]
	if l == nil {
		if p.needs == nil { // most queues have no parked tasks
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

// park lets a detached record wait until a time for a consumer that can run it.
func (q *queue) park(r *record, until instant) {
	r.overdue = false
	q.schedule(r, broker.StateParked, until)
	q.parked.add(r)
}

// takeParked adds parked tasks that the consumer may have to out, until there are most
// tasks. Bytes is the size of the tasks in out.
func (c *consumer) takeParked(h *holding, out []*broker.Delivery, most, bytes int, now instant) ([]*broker.Delivery, int) {
	var in dequeueSlabs
	for need, l := range h.q.parked.needs {
		if !c.able.Fits(need) {
			continue
		}
		for l.n > 0 && len(out) < most && bytes < broker.MaxBatchBytes {
			r := l.head
			if h.q.halted(r) {
				h.q.blockHalted(r)
				continue
			}
			bytes += r.task.Size()
			out = append(out, h.own(r, now, &in))
		}
	}
	return out, bytes
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
		out = append(out, broker.Parked{Need: need, Tasks: l.n})
	}
	slices.SortFunc(out, func(x, y broker.Parked) int { return x.Need.Compare(y.Need) })
	return out, nil
}
