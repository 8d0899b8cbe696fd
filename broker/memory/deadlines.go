package memory

import (
	"github.com/go-arbiter/arbiter/broker"
)

// A task that waits when its deadline passes has expired. queue.deadlines has the tasks with
// a deadline. A task whose deadline passes while it runs is taken out; it is added again if
// it is given back.

// watchDeadline lets a task expire at its deadline, if it has one.
func (q *queue) watchDeadline(r *record) {
	if r.deadline.at != never && !q.deadlines.has(r) {
		q.deadlines.add(r)
		q.alarm.set(r.deadline.at)
	}
}

// unwatchDeadline takes back watchDeadline.
func (q *queue) unwatchDeadline(r *record) {
	if q.deadlines.has(r) {
		q.deadlines.remove(r)
	}
}

// expire ends waiting tasks whose deadlines have passed, up to broker.MaxBatch. It reports
// whether some of them have left arrivals.
func (q *queue) expire(now instant, p *noticeBatch) (arrived bool) {
	for range broker.MaxBatch {
		r := q.deadlines.due(now)
		if r == nil {
			break
		}
		if r.waits() {
			q.drop(r, broker.StateExpired, now, p)
			arrived = q.orphan(r.id) || arrived
		}
	}
	return arrived
}
