package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The end of assigned tasks, and of tasks of a squad that are never assigned.
var assignEndTests = []test{
	{"AssignedAndCanceled", assignedCanceled, 0},
	{"AssignedMinionDies", assignedDies, needLapse},
	{"AssignedMinionCloses", assignedLeaves, 0},
	{"CanceledAndAssignedMinionDies", assignedDiesCanceled, needLapse},
	{"AssignedIsNotDueAnyMore", assignedNotDue, needLapse},
	{"NeverAssigned", neverAssigned, 0},
}

func assignedCanceled(r *rig) {
	m := r.minion()
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(m.ID(), []broker.ID{task.ID})
	d := m.assignments(1)[task.ID]
	r.canceled(task.ID, broker.CancelRequested)
	r.eventually("OnCancel is called for the assigned task", func() bool { return m.notified(task.ID) })
	m.settle(m.finish(d, broker.StateCanceled))
	r.in(broker.StateCanceled, task.ID)
}

func assignedDies(r *rig) {
	dead, alive := r.minion(), r.minion()
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(dead.ID(), []broker.ID{task.ID})
	d := dead.assignments(1)[task.ID]
	r.reap([]*minion{alive}, dead)
	r.back([]broker.ID{task.ID}, alive)
	again := alive.take1()
	if again.ID != task.ID || again.Attempt != 2 || again.Recoveries != 1 || !again.Flow.Squad {
		r.Fatalf("after the death of its minion the task was handed out as %+v", again)
	}
	errs, err := dead.Settle(r.ctx, []broker.Settlement{dead.succeed(d)})
	if err != nil {
		r.Fatalf("Settle: %v", err)
	}
	r.is(errs[0], broker.ErrLeaseLost)
	alive.settle(alive.succeed(again))
}

func assignedLeaves(r *rig) {
	m, other := r.minion(), r.minion()
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(m.ID(), []broker.ID{task.ID})
	m.assignments(1)
	if err := m.Close(r.ctx); err != nil {
		r.Fatalf("Close: %v", err)
	}
	again := other.take1()
	if again.ID != task.ID || again.Attempt != 2 || again.Recoveries != 0 || !again.Flow.Squad {
		r.Fatalf("after the close of its minion the task was handed out as %+v", again)
	}
}

func assignedDiesCanceled(r *rig) {
	dead, alive := r.minion(), r.minion()
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(dead.ID(), []broker.ID{task.ID})
	dead.assignments(1)
	r.canceled(task.ID, broker.CancelRequested)
	r.reap([]*minion{alive}, dead)
	r.back([]broker.ID{task.ID}, alive)
	if d := alive.take1(); d.ID != task.ID || !d.Canceled {
		r.Fatalf("after the death of its minion the cancelled task was handed out as %+v", d)
	}
}

func assignedNotDue(r *rig) {
	m := r.minion()
	task := r.task(inSquad, after(r.Lease/2))
	r.enqueue(task)
	r.assign(m.ID(), []broker.ID{task.ID})
	d := m.assignments(1)[task.ID]
	r.pass(r.Lease+r.Slack, m)
	m.none()
	if st := r.lookup(task.ID)[0]; st.State != broker.StateRunning || st.Attempt != 1 {
		r.Fatalf("Lookup of the task returned %+v", st)
	}
	m.settle(m.succeed(d))
}

// A task that is never assigned becomes pending when its delay is over.
func neverAssigned(r *rig) {
	m := r.minion()
	task := r.task(inSquad, after(100*time.Millisecond))
	r.enqueue(task)
	r.Advance(100*time.Millisecond + r.Slack)
	r.assign(m.ID(), []broker.ID{task.ID}, 0)
	d := m.take1()
	if d.ID != task.ID || !d.Flow.Squad || d.Attempt != 1 || d.Flow.Blocked {
		r.Fatalf("the task was handed out as %+v", d)
	}
	m.settle(m.succeed(d))
	m.assignments(0)
}
