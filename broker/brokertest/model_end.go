package brokertest

import (
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// finish ends every task and counts the letters.
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
		for _, h := range x.dequeue(last, "the last one", []string{"a", "b"}, len(x.model.tasks)+1) {
			s := last.succeed(h.Delivery)
			if h.Canceled {
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
		x.Fatalf("there are tasks that never end")
	}
	x.account.add("all are final")
	want := map[ending]int{}
	for _, e := range x.model.endings {
		want[e]++
	}
	for _, l := range x.mail.take(len(x.model.endings)) {
		if e := (ending{l.ID, l.Outcome.State}); want[e] == 0 {
			x.Fatalf("a letter says that task %d ended as %s, one too many", x.byID[l.ID].n, l.Outcome.State)
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
				x.Fatalf("all tasks are final, and the inspector counts %+v", info)
			}
		}
	}
}

// unblock releases a task as it should be if it is blocked, and as it should not
// become if it is not.
func (x *execution) unblock(_ op, t *mtask) {
	if x.flow.IsZero() || t.Group.IsZero() {
		return
	}
	blocked := t.state == broker.StateBlocked
	whole := *t.Task
	if !blocked || !t.timed() { // else its time may come first
		whole.Payload = append(slices.Clone(whole.Payload), 'R')
	}
	x.account.add("release task %d", t.n)
	x.timed(func() { x.releases(&whole) })
	if blocked && (!t.timed() || x.model.ahead(t.due)) {
		x.model.release(t, &whole)
	}
}

// arrivedAll checks that every member that has ended has arrived once.
func (x *execution) arrivedAll() {
	if x.flow.IsZero() {
		return
	}
	ended := map[string]map[broker.ID][]broker.State{"a": {}, "b": {}}
	for _, e := range x.model.endings {
		if t := x.byID[e.id]; !t.Group.IsZero() {
			ended[t.Queue][e.id] = append(ended[t.Queue][e.id], e.state) // several if it was requeued
		}
	}
	for queue, members := range ended {
		for _, a := range x.arrivals(queue, len(members)) {
			t, states := x.byID[a.Task], members[a.Task]
			if !slices.Contains(states, a.Outcome.State) || a.Flow != x.flow || a.Step != t.Step {
				x.Fatalf("task %d arrived as %s at place %d, it ended as %v at %d", t.n, a.Outcome.State, a.Step, states, t.Step)
			}
		}
	}
}
