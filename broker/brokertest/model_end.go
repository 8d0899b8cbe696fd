package brokertest

import (
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// finish ends every task, and checks the notices in the inbox.
func (x *execution) finish() {
	for who := range x.open {
		x.leave(op{kind: opClose, who: who})
	}
	last := x.minion("a", "b")
	x.open[0] = last
	open := func() bool {
		return slices.ContainsFunc(x.model.tasks, func(t *mtask) bool {
			return t.state != broker.StateUnknown && !t.state.Final()
		})
	}
	for range 40 {
		for _, t := range x.model.tasks {
			x.unblock(op{}, t)
		}
		for _, h := range x.dequeue(last, "the last minion", []string{"a", "b"}, len(x.model.tasks)+1) {
			if !h.Canceled {
				x.startKey(h)
			}
			s := last.succeed(h.Delivery)
			if h.Canceled || h.task.killed {
				s = last.finish(h.Delivery, broker.StateCanceled)
			}
			x.timed(func() { last.settle(s) })
			x.model.settle(h.task, s)
		}
		x.compare()
		if !open() {
			break
		}
		x.pass(x.Lease/8, x.living()...)
	}
	if open() {
		x.Fatalf("some tasks do not end")
	}
	x.account.add("all tasks are final")
	want := map[ending]int{}
	for _, e := range x.model.endings {
		want[e]++
	}
	for _, l := range x.mail.take(len(x.model.endings)) {
		if e := (ending{l.ID, l.Outcome.State}); want[e] == 0 {
			x.Fatalf("the inbox got a notice too many: task %d is %s", x.byID[l.ID].n, l.Outcome.State)
		} else {
			want[e]--
		}
	}
	x.mail.none()
	x.arrivedAll()
	if _, ok := can[broker.Inspector](x.Broker); ok && len(x.model.endings) > 0 {
		infos, err := x.inspector().Queues(x.ctx)
		x.must(err)
		for _, info := range infos {
			if info.Pending+info.Running+info.Scheduled+info.Unreadable != 0 {
				x.Fatalf("all tasks are final, but Queues returned %+v", info)
			}
		}
	}
}

// unblock releases a task. If the task is blocked, it becomes pending with new content. Otherwise
// the release must have no effect.
func (x *execution) unblock(_ op, t *mtask) {
	if x.flow.IsZero() || t.Flow.ID.IsZero() {
		return
	}
	blocked := t.state == broker.StateBlocked
	whole := *t.Task
	if !blocked || !t.timed() { // the content stays as it is if the delay may end first
		whole.Payload = append(slices.Clone(whole.Payload), 'R')
		whole.Meta = map[string]string{"released": "yes"}
	}
	x.account.add("release task %d", t.n)
	x.timed(func() { x.releases(&whole) })
	if blocked && (!t.timed() || x.model.ahead(t.due)) {
		x.model.release(t, &whole)
	}
}

// arrivedAll checks that every member that has ended has left one arrival.
func (x *execution) arrivedAll() {
	if x.flow.IsZero() {
		return
	}
	ended := map[string]map[broker.ID][]broker.State{"a": {}, "b": {}}
	for _, e := range x.model.endings {
		if t := x.byID[e.id]; !t.Flow.ID.IsZero() {
			ended[t.Queue][e.id] = append(ended[t.Queue][e.id], e.state) // several states if it was requeued
		}
	}
	for queue, members := range ended {
		for _, a := range x.arrivals(queue, len(members)) {
			t, states := x.byID[a.Task], members[a.Task]
			if !slices.Contains(states, a.Outcome.State) || a.Flow != x.flow || a.Step != t.Flow.Step {
				x.Fatalf("the arrival of task %d says %s at position %d, want one of %v at position %d", t.n, a.Outcome.State, a.Step, states, t.Flow.Step)
			}
		}
	}
}
