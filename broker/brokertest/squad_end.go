package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// What becomes of tasks that were assigned, or never are.
var assignEndTests = []test{
	{"AssignedAndCanceled", assignedCanceled, 0},
	{"AssignedToWhoDies", assignedDies, needLapse},
	{"AssignedToWhoLeaves", assignedLeaves, 0},
	{"AssignedToWhoDiesCanceled", assignedDiesCanceled, needLapse},
	{"AssignedIsNotDueAnyMore", assignedNotDue, needLapse},
	{"NeverAssigned", neverAssigned, 0},
}

func assignedCanceled(r *rig) {
	m := r.minion()
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(m.ID(), []broker.ID{task.ID})
	d := m.gifts(1)[task.ID]
	r.canceled(task.ID, broker.CancelRequested)
	r.eventually("its owner is told", func() bool { return m.told(task.ID) })
	m.settle(m.finish(d, broker.StateCanceled))
	r.in(broker.StateCanceled, task.ID)
}

func assignedDies(r *rig) {
	dead, alive := r.minion(), r.minion()
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(dead.ID(), []broker.ID{task.ID})
	d := dead.gifts(1)[task.ID]
	r.reap([]*minion{alive}, dead)
	r.back([]broker.ID{task.ID}, alive)
	again := alive.take1()
	if again.ID != task.ID || again.Attempt != 2 || again.Recoveries != 1 || !again.Squad {
		r.Fatalf("it came back as %+v", again)
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
	m.gifts(1)
	if err := m.Close(r.ctx); err != nil {
		r.Fatalf("Close: %v", err)
	}
	again := other.take1()
	if again.ID != task.ID || again.Attempt != 2 || again.Recoveries != 0 || !again.Squad {
		r.Fatalf("it came back as %+v", again)
	}
}

func assignedDiesCanceled(r *rig) {
	dead, alive := r.minion(), r.minion()
	task := r.task(inSquad)
	r.enqueue(task)
	r.assign(dead.ID(), []broker.ID{task.ID})
	dead.gifts(1)
	r.canceled(task.ID, broker.CancelRequested)
	r.reap([]*minion{alive}, dead)
	r.back([]broker.ID{task.ID}, alive)
	if d := alive.take1(); d.ID != task.ID || !d.Canceled {
		r.Fatalf("it came back as %+v", d)
	}
}

func assignedNotDue(r *rig) {
	m := r.minion()
	task := r.task(inSquad, after(r.Lease/2))
	r.enqueue(task)
	r.assign(m.ID(), []broker.ID{task.ID})
	d := m.gifts(1)[task.ID]
	r.pass(r.Lease+r.Slack, m)
	m.none()
	if st := r.lookup(task.ID)[0]; st.State != broker.StateRunning || st.Attempt != 1 {
		r.Fatalf("it is found as %+v", st)
	}
	m.settle(m.succeed(d))
}

// One that nobody assigns comes by itself when its time is over.
func neverAssigned(r *rig) {
	m := r.minion()
	task := r.task(inSquad, after(100*time.Millisecond))
	r.enqueue(task)
	r.Advance(100*time.Millisecond + r.Slack)
	r.assign(m.ID(), []broker.ID{task.ID}, 0)
	d := m.take1()
	if d.ID != task.ID || !d.Squad || d.Attempt != 1 || d.Blocked {
		r.Fatalf("it came as %+v", d)
	}
	m.settle(m.succeed(d))
	m.gifts(0)
}
