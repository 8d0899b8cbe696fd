package memory

import (
	"container/heap"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// deadlines are the tasks of a queue that have a deadline and may expire while they
// wait, the one with the first deadline first. A task whose deadline passes while it
// runs is taken out, and comes in again if it is given back.
type deadlines struct {
	heap limits
	of   map[*record]*limit
}

type limit struct {
	r    *record
	slot int
}

// first returns the first deadline, never if there is none.
func (d *deadlines) first() instant {
	if len(d.heap) == 0 {
		return never
	}
	return d.heap[0].r.deadline
}

func (d *deadlines) add(r *record) {
	if d.of[r] != nil {
		return
	}
	if d.of == nil { // most queues have none
		d.of = make(map[*record]*limit)
	}
	l := &limit{r: r}
	d.of[r] = l
	heap.Push(&d.heap, l)
}

func (d *deadlines) drop(r *record) {
	l := d.of[r]
	if l == nil {
		return
	}
	heap.Remove(&d.heap, l.slot)
	if delete(d.of, r); len(d.of) == 0 {
		d.of, d.heap = nil, nil // maps and slices do not become smaller
	}
}

// limits is what package heap orders.
type limits []*limit

func (h limits) Len() int           { return len(h) }
func (h limits) Less(i, j int) bool { return h[i].r.deadline < h[j].r.deadline }
func (h limits) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

// Push implements [heap.Interface].
func (h *limits) Push(x any) {
	l := x.(*limit)
	l.slot = len(*h)
	*h = append(*h, l)
}

// Pop implements [heap.Interface].
func (h *limits) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	*h = slices.Delete(*h, last, last+1)
	return l
}

// watch lets a task expire that waits, if it has a deadline.
func (q *queue) watch(r *record) {
	if r.deadline != never {
		q.deadlines.add(r)
		q.alarm.set(r.deadline)
	}
}

// unwatch ends that.
func (q *queue) unwatch(r *record) {
	if r.deadline != never {
		q.deadlines.drop(r)
	}
}

// expire ends tasks that wait though their deadlines have passed, but no more than a
// batch of them. It reports whether some have arrived in their flows.
func (q *queue) expire(now instant, p *post) (arrived bool) {
	for n := 0; n < broker.MaxBatch && q.deadlines.first() <= now; n++ {
		r := q.deadlines.heap[0].r
		q.unwatch(r)
		if r.waits() {
			q.drop(r, broker.StateExpired, now, p)
			arrived = q.orphan(r.id) || arrived
		}
	}
	return arrived
}

// tellArrivals tells of arrivals that no settlement has made: the consumers of the
// queue; or, if there are none, all inboxes, since somebody may wait for a flow there.
func (b *Broker) tellArrivals(q *queue) {
	told := false
	for _, c := range b.members.living() {
		if c.holdOf(q.name) != nil && c.cfg.OnArrivals != nil {
			c.cfg.OnArrivals(q.name)
			told = true
		}
	}
	if told {
		return
	}
	for _, in := range b.inboxes.open() {
		in.tell()
	}
}
