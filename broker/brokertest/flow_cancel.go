package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A cancelled member leaves one arrival, in whatever state it was.
var flowCancelTests = []test{
	{"CancelOfWaiting", flowCancelWaiting, 0},
	{"CancelIsListed", flowCancelListed, 0},
	{"CancelIsListedAtItsClient", flowCancelElsewhere, needReopen},
	{"CancelOfRunning", flowCancelRunning, 0},
	{"CancelOfRunningNeverRetried", flowCancelNeverRetried, 0},
	{"CancelOfRunningOwnerDies", flowCancelOwnerDies, needLapse},
	{"CancelOfRunningOwnerCloses", flowCancelOwnerCloses, 0},
	{"CancelTooLate", flowCancelTooLate, 0},
	{"CancelTwoAtOnce", flowCancelTwoAtOnce, 0},
	{"CancelMany", flowCancelMany, 0},
	{"DeadLetterRequeued", flowDeadLetterRequeued, needInspector},
}

// waitingMembers returns five members of a group: one blocked, one scheduled, one retrying, one
// pending, and one that is blocked for a time.
func (r *rig) waitingMembers(m *minion) []*broker.Task {
	r.Helper()
	_, tasks := r.team(5)
	tasks[0].Flow.Blocked = true
	tasks[1].Delay = time.Hour
	tasks[4].Flow.Blocked, tasks[4].Delay = true, time.Hour
	r.enqueue(tasks[2])
	m.settle(retry(m.take1(), time.Hour))
	r.enqueue(tasks...)
	for i, state := range []broker.State{
		broker.StateBlocked, broker.StateScheduled, broker.StateRetrying, broker.StatePending, broker.StateBlocked,
	} {
		r.in(state, tasks[i].ID)
	}
	return tasks
}

func flowCancelWaiting(r *rig) {
	m := r.minion()
	for _, task := range r.waitingMembers(m) {
		r.canceled(task.ID, broker.CancelPrevented)
		a := r.arrivals("q", 1)[0]
		r.isArrival(a, task)
		r.equal(a.Outcome, r.outcome(task.ID))
		if a.Outcome.State != broker.StateCanceled {
			r.Fatalf("the arrival of a cancelled member says %s, want canceled", a.Outcome.State)
		}
		for range 2 {
			r.canceled(task.ID, broker.CancelTooLate)
		}
		r.releases(task)
		r.enqueue(task)
		r.arrived(task, a.Outcome)
		r.canceled(task.ID, broker.CancelTooLate)
		r.arrivals("q", 0)
	}
	m.none()
}

// Whoever cancels finds the arrivals, even if no consumer serves the queue.
func flowCancelListed(r *rig) {
	f := r.group(3)
	tasks := []*broker.Task{
		r.task(onQueue("a"), memberOf(f, 0)), r.task(onQueue("b"), memberOf(f, 1), blocked), r.task(onQueue("a"), memberOf(f, 2)),
	}
	r.enqueue(tasks...)
	r.arrivals("", 0)
	r.cancel(idsOf(tasks)...)
	byID := map[broker.ID]broker.Arrival{}
	for _, a := range r.arrivals("", 3) {
		byID[a.Task] = a
	}
	for _, task := range tasks {
		r.isArrival(byID[task.ID], task)
	}
	r.isArrival(r.arrivals("b", 1)[0], tasks[1])
	r.confirm(byID[tasks[1].ID])
	r.arrivals("", 2)
	r.confirm(byID[tasks[0].ID], byID[tasks[2].ID])
	r.arrivals("", 0)
	r.arrivals("a", 0)
}

func flowCancelElsewhere(r *rig) {
	other, third := r.other(), r.other()
	_, tasks := r.team(1, blocked)
	r.enqueue(tasks...)
	r.cancelAt(other, tasks[0].ID)
	r.arrivalsAt(third, "", 0)
	a := r.arrivalsAt(other, "", 1)[0]
	r.isArrival(a, tasks[0])
	r.isArrival(r.arrivalsAt(third, "q", 1)[0], tasks[0])
	if err := r.flowsAt(third).Confirm(r.ctx, []broker.Arrival{a}); err != nil {
		r.Fatalf("Confirm: %v", err)
	}
	r.arrivalsAt(other, "", 0)
}

func flowCancelRunning(r *rig) {
	m := r.minion()
	_, tasks := r.team(len(finals))
	r.enqueue(tasks...)
	for i, d := range m.take(len(finals)) {
		r.canceled(d.ID, broker.CancelRequested)
		r.canceled(d.ID, broker.CancelRequested)
		r.arrivals("q", 0) // the task still runs
		s := m.finish(d, finals[i])
		m.settle(s)
		r.canceled(d.ID, broker.CancelTooLate)
		r.arrived(tasks[i], s.Outcome)
	}
}

func flowCancelNeverRetried(r *rig) {
	m := r.minion()
	for _, settle := range []func(d *broker.Delivery) broker.Settlement{
		func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, time.Hour) },
		giveBack,
	} {
		_, tasks := r.team(1)
		r.enqueue(tasks...)
		d := m.take1()
		r.canceled(d.ID, broker.CancelRequested)
		m.hears("q")
		m.settle(settle(d))
		r.eventually("OnArrivals is called", func() bool { return m.hears("q") })
		r.in(broker.StateCanceled, d.ID)
		r.arrived(tasks[0], r.outcome(d.ID))
		m.never(d)
		r.arrivals("q", 0)
	}
	m.none()
}

func flowCancelOwnerDies(r *rig) {
	dying, m := r.minion(), r.minion()
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	late := dying.take1()
	r.canceled(late.ID, broker.CancelRequested)
	r.reap([]*minion{m}, dying)
	endsCanceled(r, m, tasks[0])
	if lost(dying.Settle(r.ctx, []broker.Settlement{dying.succeed(late)})) == nil {
		r.Fatalf("the settlement of a lost lease was accepted")
	}
	r.arrived(tasks[0], r.outcome(late.ID))
}

func flowCancelOwnerCloses(r *rig) {
	leaving, m := r.minion(), r.minion()
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	leaving.take1()
	r.canceled(tasks[0].ID, broker.CancelRequested)
	leaving.close()
	endsCanceled(r, m, tasks[0])
	r.eventually("OnArrivals is called", func() bool { beat(m); return m.hears("q") })
	r.arrived(tasks[0], r.outcome(tasks[0].ID))
}

func flowCancelTooLate(r *rig) {
	m := r.minion()
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	s := m.succeed(m.take1())
	m.settle(s)
	r.canceled(tasks[0].ID, broker.CancelTooLate)
	r.arrivals("", 0)
	r.arrived(tasks[0], s.Outcome)
	r.canceled(tasks[0].ID, broker.CancelTooLate)
	r.arrivals("q", 0)
}

func flowCancelTwoAtOnce(r *rig) {
	other := r.other()
	m := r.minion()
	for range 5 {
		tasks := r.waitingMembers(m)
		together(many(4, func(i int) {
			for at := range tasks {
				if _, err := []broker.Broker{r.Broker, other}[i%2].Cancel(r.ctx, []broker.ID{tasks[(at+i)%len(tasks)].ID}); err != nil {
					r.Errorf("Cancel: %v", err)
				}
			}
		})...)
		all := r.arrivals("q", len(tasks))
		var got []broker.ID
		for _, a := range all {
			got = append(got, a.Task)
		}
		r.sameSet(got, idsOf(tasks))
		r.confirm(all...)
		r.arrivals("q", 0)
	}
	m.none()
}

func flowCancelMany(r *rig) {
	const n = broker.MaxBatch + 345
	_, tasks := r.team(n, blocked)
	r.enqueue(tasks...)
	for _, verdict := range r.cancel(idsOf(tasks)...) {
		if verdict != broker.CancelPrevented {
			r.Fatalf("the verdict is %q", verdict)
		}
	}
	var got []broker.ID
	for len(got) < n {
		part, err := r.flows().Arrivals(r.ctx, "", broker.MaxBatch)
		if err != nil || len(part) == 0 {
			r.Fatalf("Arrivals returned %d arrivals, %v; %d are not confirmed", len(part), err, n-len(got))
		}
		for _, a := range part {
			got = append(got, a.Task)
		}
		r.confirm(part...)
	}
	r.sameSet(got, idsOf(tasks))
	r.arrivals("", 0)
	r.arrivals("q", 0)
}

// A requeued dead letter ends a second time. Its flow counts the first outcome only.
func flowDeadLetterRequeued(r *rig) {
	m := r.minion()
	f, tasks := r.team(2)
	bury(r, m, tasks[0])
	r.counted(r.arrive(f, r.arrivals("q", 1)...), 0, 1)
	requeue(r, tasks[0].ID)
	m.settle(m.succeed(m.take1()))
	for _, a := range r.arrivals("q", 1) { // the broker may keep either arrival of the member, but not both
		r.isArrival(a, tasks[0])
		r.counted(r.arrive(f, a), 0, 1)
		r.confirm(a)
	}
	r.arrivals("q", 0)
	if got := r.members(f, 10)[0].State; got != broker.StateFailed {
		r.Fatalf("the member is %s, want failed as at its first end", got)
	}
}
