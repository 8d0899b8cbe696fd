package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Tasks that wait in line are like other pending tasks.
var laneWaitTests = []test{
	{"WaitingIsCanceled", laneCanceled, 0},
	{"WaitingExpires", laneExpired, 0},
	{"WaitingHoldsItsUniqueKey", laneUnique, 0},
	{"WaitingIsCounted", laneCounted, needInspector},
	{"WaitingIsListedWithItsLimit", laneWaiting, 0},
	{"WaitingIsEnqueuedAgain", laneRepeated, 0},
	{"WaitingMemberOfAHaltedFlow", laneHalted, needHalter | needFlows},
	{"WaitingMemberArrives", laneMember, needFlows},
	{"ParkedReturnsToItsLine", laneParked, needParker},
	{"OverdueForAnybody", laneOverdue, needParker},
	{"DefinitionsStay", laneStay, needJump},
	{"TasksAreForgotten", laneForgotten, needJump | needInspector},
	{"LargePayloads", laneLargePayloads, 0},
}

func laneCanceled(r *rig) {
	mail := r.mail()
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	tasks := r.batch(4, lane(using("l")), inbox(mail.id))
	r.enqueue(tasks...)
	d := m.gets(tasks[0])
	m.none()
	for _, task := range []*broker.Task{tasks[1], tasks[3]} {
		r.canceled(task.ID, broker.CancelPrevented)
		r.in(broker.StateCanceled, task.ID)
		if o := r.outcome(task.ID); !o.Started.IsZero() || !o.Minion.IsZero() {
			r.Fatalf("the outcome of a task that was cancelled in line is %+v", o)
		}
		if l := mail.take(1)[0]; l.ID != task.ID || l.Outcome.State != broker.StateCanceled {
			r.Fatalf("the inbox got a notice that task %s is %s", l.ID, l.Outcome.State)
		}
		r.canceled(task.ID, broker.CancelTooLate)
	}
	r.inUse("l", 1)
	m.none()
	m.settle(m.succeed(d))
	m.next(tasks[2])
	m.none()
	r.inUse("l", 0)
	// All that wait are cancelled, and others come.
	first := r.task(lane(using("l")))
	r.enqueue(first)
	d = m.gets(first)
	waits := r.batch(30, lane(using("l"), fair("k")))
	r.enqueue(waits...)
	m.none()
	for _, v := range r.cancel(idsOf(waits)...) {
		if v != broker.CancelPrevented {
			r.Fatalf("the verdict of Cancel is %q", v)
		}
	}
	last := r.task(lane(using("l"), fair("other")))
	r.enqueue(last)
	m.none()
	m.settle(m.succeed(d))
	m.next(last)
	m.none()
}

func laneExpired(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	first, last := r.task(lane(using("l"))), r.task(lane(using("l")))
	r.enqueue(first)
	d := m.gets(first)
	expires := r.batch(3, lane(using("l")), within(brief))
	r.enqueue(expires...)
	r.enqueue(last)
	m.none()
	r.expire(expires...)
	for _, task := range expires {
		r.expired(r.outcome(task.ID), task)
		r.canceled(task.ID, broker.CancelTooLate)
	}
	r.inUse("l", 1)
	m.none()
	m.settle(m.succeed(d))
	m.next(last)
	m.none()
	// One that was handed out before expires in line after its deadline.
	task := r.task(lane(using("l")), within(4*brief))
	r.enqueue(task)
	d = m.gets(task)
	r.pass(6*brief, m)
	r.define(broker.Limit{Name: "l", Paused: true})
	m.settle(giveBack(d))
	r.expire(task)
	r.inUse("l", 0)
}

func laneUnique(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Paused: true})
	task := r.task(lane(using("l")), keyed("k"))
	r.enqueue(task)
	m.none()
	second := r.task(lane(), keyed("k"))
	r.duplicate(r.refused(second), second.ID, task.ID, "k")
	r.canceled(task.ID, broker.CancelPrevented)
	r.enqueue(second)
	m.next(second)
}

func laneCounted(r *rig) {
	m := r.minion()
	check := func(want broker.QueueInfo) {
		r.Helper()
		want.Name = "q"
		if got := counts(r, "q"); got != want {
			r.Fatalf("the queue is counted as %+v, want %+v", got, want)
		}
	}
	r.define(broker.Limit{Name: "l", Most: 1})
	limited, steps := r.batch(3, lane(using("l"))), r.batch(3, lane(inSequence("s")))
	r.enqueue(limited...)
	r.enqueue(steps...)
	r.enqueue(r.task(), r.task(lane(), after(time.Hour)))
	check(broker.QueueInfo{Pending: 7, Scheduled: 1})
	ds := m.take(3)
	m.none()
	check(broker.QueueInfo{Pending: 4, Running: 3, Scheduled: 1})
	r.cancel(limited[2].ID, steps[2].ID)
	check(broker.QueueInfo{Pending: 2, Running: 3, Scheduled: 1})
	for _, d := range ds {
		m.settle(giveBack(d))
	}
	check(broker.QueueInfo{Pending: 5, Scheduled: 1})
	for _, d := range m.take(3) {
		m.settle(m.finish(d, broker.StateFailed))
	}
	check(broker.QueueInfo{Pending: 2, Scheduled: 1, Dead: 3})
	m.shares(2, ofPriority)
	check(broker.QueueInfo{Scheduled: 1, Dead: 3})
}

func laneWaiting(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	r.define(broker.Limit{Name: "m", Most: 1})
	for i := range 4 {
		r.enqueue(r.batch(3, lane(using("l"), fair(itoa(i))))...)
	}
	d := m.take1()
	m.none()
	if got := r.info("l", ""); got.Waiting != 4 || got.InUse != 1 {
		r.Fatalf("LimitsIn returned %+v, want 4 lines that wait and 1 in use", got)
	}
	if got := r.info("m", ""); got.Waiting != 0 || got.InUse != 0 {
		r.Fatalf("LimitsIn returned %+v, want nothing that waits or is in use", got)
	}
	r.define(broker.Limit{Name: "l", Most: 100})
	ds := m.take(11)
	m.none()
	if got := r.info("l", ""); got.Waiting != 0 || got.InUse != 12 {
		r.Fatalf("LimitsIn returned %+v, want no line that waits and 12 in use", got)
	}
	for _, d := range append(ds, d) {
		m.settle(m.succeed(d))
	}
}

// A task is enqueued again, while it waits and while it runs. It keeps its place and uses nothing more.
func laneRepeated(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	tasks := r.batch(3, lane(using("l")))
	r.enqueue(tasks...)
	d := m.gets(tasks[0])
	r.enqueue(tasks[2], tasks[1], tasks[0])
	m.none()
	r.inUse("l", 1)
	m.settle(m.succeed(d))
	m.next(tasks[1:]...)
	r.enqueue(tasks...)
	m.none()
	r.inUse("l", 0)
}

// A member of a halted flow is not handed out, and takes neither a limit nor a turn of its sequence.
func laneHalted(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	f, members := r.team(3, lane(using("l")))
	members[2].Lane = &broker.Lane{Priority: 9, Sequence: "s"}
	other, step := r.task(lane(using("l"))), r.task(lane(inSequence("s")))
	r.enqueue(members...)
	r.enqueue(other, step)
	running := m.take(2)
	r.sameSet(takenOf(running), []broker.ID{members[0].ID, members[2].ID})
	h := r.halt(f)
	m.settle(giveBack(running[0]), giveBack(running[1]))
	d := m.gets(other)
	m.none()
	r.in(broker.StateBlocked, idsOf(members[:2])...)
	r.inUse("l", 1)
	for _, v := range r.cancel(idsOf(members)...) {
		if v != broker.CancelPrevented {
			r.Fatalf("the verdict of Cancel is %q", v)
		}
	}
	r.confirm(h.Kills...)
	r.confirm(r.arrivals("q", 3)...)
	m.next(step)
	m.settle(m.succeed(d))
	m.none()
	r.inUse("l", 0)
}

func laneMember(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	_, members := r.team(2, lane(using("l"), inSequence("s")))
	r.enqueue(members...)
	d := m.gets(members[0])
	r.canceled(members[1].ID, broker.CancelPrevented)
	a := r.arrivals("q", 1)[0]
	r.isArrival(a, members[1])
	r.confirm(a)
	s := m.succeed(d)
	m.settle(s)
	r.arrived(members[0], s.Outcome)
}

// A parked task returns to its line when a consumer comes that can run it. It waits there for its
// limits like others, and has the place that it had.
func laneParked(r *rig) {
	tasks := r.batch(3, lane(using("l")))
	r.parks(tasks...)
	r.parked(parkedOf(tasks[0], 3))
	r.define(broker.Limit{Name: "l", Most: 1})
	r.inUse("l", 0)
	knows := r.knowing("test.task")
	d := knows.gets(tasks[0])
	knows.none()
	r.inUse("l", 1)
	r.canceled(tasks[1].ID, broker.CancelPrevented)
	later := r.task(lane(using("l")))
	r.enqueue(later)
	knows.settle(knows.succeed(d))
	knows.next(tasks[2], later)
	r.parked()
}

func laneOverdue(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	d := r.overdue(m, r.task(lane(using("l"))))
	r.attempt(d, 2, 0, 0)
	if !d.Overdue {
		r.Fatalf("a parked task whose time is over is not marked as overdue")
	}
	r.inUse("l", 1)
	m.settle(giveBack(d))
	d = m.take1()
	if !d.Overdue {
		r.Fatalf("after it was given back the task is not marked as overdue")
	}
	m.settle(m.succeed(d))
	r.inUse("l", 0)
}

// Definitions and weights stay until they are removed, however long the queue has no task.
func laneStay(r *rig) {
	limits := []broker.Limit{{Name: "a", Most: 1}, {Name: "b", Key: "k", Rate: 5, Per: time.Minute, Burst: 2, Paused: true}}
	for _, l := range limits {
		r.define(l)
	}
	r.weigh("k", 7)
	r.Advance(3 * broker.MaxUnused)
	r.definitions("q", limits...)
	m := r.minion()
	tasks := r.batch(2, lane(using("a")))
	r.enqueue(tasks...)
	m.next(tasks...)
	m.close()
	r.Advance(30 * broker.MaxUnused)
	r.definitions("q", limits...)
	if w, err := r.lanes().Weights(r.ctx, "q"); err != nil || len(w) != 1 || w["k"] != 7 {
		r.Fatalf("Weights returned %v, %v", w, err)
	}
}

// A queue that has had tasks with lanes, and has no definitions any more, is forgotten like any other.
func laneForgotten(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "a", Most: 1})
	r.define(broker.Limit{Name: "b", Rate: 5, Per: time.Minute})
	r.weigh("k", 7)
	r.enqueue(r.batch(10, lane(using("a", "b"), fair("k")), kept(time.Minute, 0))...)
	r.enqueue(r.batch(10, lane(using("c"), stopping("s"), priority(0)), kept(time.Minute, 0))...)
	for range 3 {
		m.settle(m.succeed(m.take1()))
	}
	for left := 17; left > 0; {
		for _, d := range m.tryTake(20) {
			m.settle(m.succeed(d))
			left--
		}
		r.pass(time.Minute, m)
	}
	r.undefine("a", "")
	r.undefine("b", "")
	r.weigh("k", 1)
	m.close()
	r.Advance(2 * broker.MaxUnused)
	r.queuesAre(r.inspector())
}

// Tasks with large payloads wait in line, come back and are parked like others.
func laneLargePayloads(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 2})
	tasks := make([]*broker.Task, 6)
	for i := range tasks {
		size := 300_000
		if r.light {
			size = 60_000
		}
		tasks[i] = r.task(lane(using("l"), inSequence(itoa(i%4))), payload(append([]byte(itoa(i)), make([]byte, size)...)))
	}
	r.enqueue(tasks...)
	for range 2 {
		ds := m.take(2)
		m.none()
		for i, d := range ds {
			m.equals(d, tasks[i])
		}
		m.settle(giveBack(ds[1]), retry(ds[0], 0))
	}
	for i := 0; i < len(tasks); i += 2 {
		ds := m.take(2)
		m.none()
		for j, d := range ds {
			m.equals(d, tasks[i+j])
			m.settle(m.succeed(d))
		}
	}
	m.none()
}
