package brokertest

import (
	"bytes"

	"github.com/go-arbiter/arbiter/broker"
)

// A requeued dead letter may belong to a flow that still runs or has ended.
var requeueTests = []test{
	{"LargeOnesTogether", requeueLarge, needInspector},
	{"MemberCountsOnce", requeueMember, needInspector | needFlows},
	{"MemberOfAnEndedFlow", requeueMemberOfEnded, needInspector | needFlows},
	{"MemberOfASquadStartsAlone", requeueSquad, needInspector | needFlows | needSquads},
}

// Several large dead letters are requeued in one call. Each keeps its payload.
func requeueLarge(r *rig) {
	m := r.minion()
	byID := make(map[broker.ID]*broker.Task)
	var tasks []*broker.Task
	for i := range 5 {
		task := r.task()
		task.Payload = bytes.Repeat([]byte{byte(i)}, 100_000)
		tasks, byID[task.ID] = append(tasks, task), task
	}
	r.enqueue(tasks...)
	for range 2 {
		for _, d := range m.take(len(tasks)) {
			m.equals(d, byID[d.ID])
			m.settle(m.finish(d, broker.StateFailed))
		}
		requeue(r, idsOf(tasks)...)
	}
	for _, d := range m.take(len(tasks)) {
		m.equals(d, byID[d.ID])
		m.settle(m.succeed(d))
	}
}

// A flow has counted the failure of a requeued member, or is about to. The next end of the member
// does not change that.
func requeueMember(r *rig) {
	m := r.minion()
	f, tasks := r.team(2)
	r.enqueue(tasks...)
	ds := m.take(2)
	failed := m.finish(ds[0], broker.StateFailed)
	m.settle(failed, m.finish(ds[1], broker.StateFailed))
	first := r.arrivals("q", 2)
	for i := range first {
		if first[i].Task == tasks[1].ID {
			r.confirm(first[i])
		}
	}
	for range 2 { // one whose arrival is not confirmed yet, and one whose arrival is
		requeue(r, idsOf(tasks)...)
		for _, d := range m.take(2) {
			if d.Flow.ID != f.ID {
				r.Fatalf("the requeued member belongs to %s, want %s", d.Flow.ID, f.ID)
			}
			m.settle(m.finish(d, broker.StateFailed))
		}
		r.isArrival(r.arrivals("q", 1)[0], tasks[0])
		r.equal(r.arrivals("q", 1)[0].Outcome, failed.Outcome)
	}
	requeue(r, tasks[1].ID)
	r.canceled(tasks[1].ID, broker.CancelPrevented)
	r.arrivals("q", 1)
}

func requeueMemberOfEnded(r *rig) {
	m := r.minion()
	f, tasks := r.team(1)
	r.enqueue(tasks...)
	m.settle(m.finish(m.take1(), broker.StateFailed))
	a := r.arrivals("q", 1)
	r.arrive(f, a...)
	r.confirm(a...)
	r.end(f, endedAs(tasks[0].ID, broker.StateFailed))
	requeue(r, tasks[0].ID)
	s := m.succeed(m.take1())
	m.settle(s)
	r.equal(r.outcome(tasks[0].ID), s.Outcome)
	r.arrivals("q", 0)
	if p := r.progress(f); p.Outcome == nil || p.Outcome.State != broker.StateFailed {
		r.Fatalf("the outcome of the flow is %+v, want the first one", p.Outcome)
	}
}

// A requeued member of a squad starts alone. The other members have ended, and the squad may not be
// stored any more, so no decision to start can be made.
func requeueSquad(r *rig) {
	m := r.minion()
	_, tasks := r.team(1, inSquad)
	task := tasks[0]
	r.enqueue(task)
	r.assign(m.ID(), idsOf(tasks))
	d := m.assignments(1)[task.ID]
	for range 2 {
		m.settle(m.finish(d, broker.StateFailed))
		requeue(r, task.ID)
		d = m.take1()
		want := *task
		want.Flow.Squad, want.Flow.Blocked = false, false
		m.equals(d, &want)
		if d.Flow.Squad {
			r.Fatalf("the requeued member still waits for its squad")
		}
	}
	m.settle(retry(d, 0))
	if d = m.take1(); d.Flow.Squad {
		r.Fatalf("after a retry the requeued member waits for its squad again")
	}
}
