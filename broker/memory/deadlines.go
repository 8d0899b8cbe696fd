package memory

import (
	"container/heap"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// deadlines is a heap of the tasks of a queue that have a deadline and may expire while
// they wait. A task whose deadline passes while it runs is taken out; it is added again if
// it is given back.
type deadlines struct {
	heap deadlineHeap
	of   map[*record]*deadlineItem
}

type deadlineItem struct {
	r         *record
	heapIndex int
}

// first returns the first deadline, or never if there is none.
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
	if d.of == nil { // most queues have no deadlines
		d.of = make(map[*record]*deadlineItem)
	}
	l := &deadlineItem{r: r}
	d.of[r] = l
	heap.Push(&d.heap, l)
}

func (d *deadlines) drop(r *record) {
	l := d.of[r]
	if l == nil {
		return
	}
	heap.Remove(&d.heap, l.heapIndex)
	if delete(d.of, r); len(d.of) == 0 {
		d.of, d.heap = nil, nil // maps and slices never shrink
	}
}

// deadlineHeap implements heap.Interface, with the earliest deadline first.
type deadlineHeap []*deadlineItem

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].r.deadline < h[j].r.deadline }
func (h deadlineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements [heap.Interface].
func (h *deadlineHeap) Push(x any) {
	l := x.(*deadlineItem)
	l.heapIndex = len(*h)
	*h = append(*h, l)
}

// Pop implements [heap.Interface].
func (h *deadlineHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	*h = slices.Delete(*h, last, last+1)
	return l
}

// watchDeadline lets a task expire at its deadline, if it has one.
func (q *queue) watchDeadline(r *record) {
	if r.deadline != never {
		q.deadlines.add(r)
		q.alarm.set(r.deadline)
	}
}

// unwatchDeadline takes back watchDeadline.
func (q *queue) unwatchDeadline(r *record) {
	if r.deadline != never {
		q.deadlines.drop(r)
	}
}

// expire ends waiting tasks whose deadlines have passed, up to broker.MaxBatch. It reports
// whether some of them have left arrivals.
func (q *queue) expire(now instant, p *noticeBatch) (arrived bool) {
	for n := 0; n < broker.MaxBatch && q.deadlines.first() <= now; n++ {
		r := q.deadlines.heap[0].r
		q.unwatchDeadline(r)
		if r.waits() {
			q.drop(r, broker.StateExpired, now, p)
			arrived = q.orphan(r.id) || arrived
		}
	}
	return arrived
}

// tellOrphans tells of arrivals that no settlement has made. It calls OnArrivals of the
// consumers of the queue. If there are none it tells all inboxes, since somebody may wait
// there for the group or pipe.
func (b *Broker) tellOrphans(q *queue) {
	told := false
	for _, c := range b.members.living() {
		if c.holdingOf(q.name) != nil && c.cfg.OnArrivals != nil {
			c.cfg.OnArrivals(q.name)
			told = true
		}
	}
	if told {
		return
	}
	for _, in := range b.inboxes.open() {
		in.tellArrivals()
	}
}
