package brokertest

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// broker.Halter: no member of a halted flow is handed out any more, however many members it has.
func haltTests() []test {
	tests := []test{
		{"MembersStay", haltMembers, 0},
		{"OthersGoOn", haltOthers, 0},
		{"LaterTasksStay", haltLater, 0},
		{"ReturnedTasksStay", haltBack, 0},
		{"RunningAreNamed", haltRunning, 0},
		{"CanceledOneIsEnded", haltCanceled, needLapse},
		{"FinalizerStarts", haltFinalizer, 0},
		{"CallbackStays", haltCallback, 0},
		{"RequeuedOneStarts", haltRequeued, needInspector},
		{"FlowsInside", haltInner, 0},
		{"Confirmed", haltConfirmed, 0},
		{"ConfirmedInOneQueue", haltQueues, 0},
		{"KillIsFoundLater", haltFound, needJump},
		{"RepeatBeginsAnew", haltAgain, needJump},
		{"Counts", haltCounts, needInspector},
		{"ParkedOneStays", haltParked, needParker},
		{"NotAssigned", haltAssign, needSquads},
		{"Bounds", haltBounds, 0},
		{"Many", haltMany, needHeavy},
	}
	for i := range tests {
		tests[i].needs |= needHalter | needFlows
	}
	return tests
}

func (r *rig) halter() broker.Halter {
	return &watchedHalter{raw(r.Broker).(broker.Halter), r.dog}
}

type watchedHalter struct {
	b   broker.Halter
	dog *watchdog
}

func (h *watchedHalter) Halt(ctx context.Context, flows []broker.ID) (*broker.Halted, error) {
	return ask(h.dog, "Halt", func() (*broker.Halted, error) { return h.b.Halt(ctx, flows) })
}

// halt halts flows, which must succeed.
func (r *rig) halt(flows ...*broker.Flow) *broker.Halted {
	r.Helper()
	ids := make([]broker.ID, len(flows))
	for i, f := range flows {
		ids[i] = f.ID
	}
	h, err := r.halter().Halt(r.ctx, ids)
	if err != nil {
		r.Fatalf("Halt: %v", err)
	}
	return h
}

func haltMembers(r *rig) {
	m := r.minion()
	f, tasks := r.team(3)
	r.enqueue(tasks...)
	h := r.halt(f)
	if len(h.Kills) != 1 || len(h.Inner) != 0 || len(h.Running) != 0 {
		r.Fatalf("halted: %+v", h)
	}
	for range 2 {
		m.none()
	}
	r.in(broker.StateBlocked, idsOf(tasks)...)
	if st := r.lookup(tasks[0].ID)[0]; st.Attempt != 0 || !st.Due.IsZero() {
		r.Fatalf("Lookup of a member of a halted flow returned %+v", st)
	}
	for i, v := range r.cancel(idsOf(tasks)...) {
		if v != broker.CancelPrevented {
			r.Fatalf("the verdict is %q", v)
		}
		r.in(broker.StateCanceled, tasks[i].ID)
	}
	r.confirm(h.Kills...)
	r.confirm(h.Kills...)
	r.confirm(r.arrivals("q", 3)...)
	m.none()
}

// A waiting consumer still gets the other tasks of the queue, and later ones.
func haltOthers(r *rig) {
	m := r.minion()
	f, tasks := r.team(2)
	g, others := r.team(2)
	plain := r.task()
	r.enqueue(tasks[0], plain, others[0], tasks[1], others[1])
	r.halt(f)
	r.sameSet(takenOf(m.take(3)), []broker.ID{plain.ID, others[0].ID, others[1].ID})
	m.none()
	r.progress(g)
	for range 3 {
		next := r.task()
		done := m.waiting(r.ctx, 1, patience)
		start := time.Now()
		r.enqueue(next)
		r.same(takenOf(r.woken(done, start)), []broker.ID{next.ID})
	}
}

func haltLater(r *rig) {
	m := r.minion()
	f := r.group(4)
	tasks := []*broker.Task{r.task(), r.task(blocked), r.task(after(time.Second)), r.task()}
	for i, t := range tasks {
		memberOf(f, uint32(i))(t)
	}
	r.open(f, idsOf(tasks))
	r.enqueue(r.task()) // so the queue exists
	r.enqueue(tasks[2])
	r.halt(f)
	r.enqueue(tasks[0], tasks[1], tasks[3])
	m.take1()
	m.none()
	r.releases(tasks[1])
	m.none()
	r.pass(time.Second+r.Slack, m)
	for range 2 {
		m.none()
	}
	r.in(broker.StateBlocked, idsOf(tasks)...)
	r.releases(tasks...) // by a caller that does not know of the halt
	m.none()
	r.in(broker.StateBlocked, idsOf(tasks)...)
}

func haltBack(r *rig) {
	m, leaving := r.minion(), r.minion()
	f, tasks := r.team(4)
	r.enqueue(tasks...)
	ds := m.take(3)
	leaving.take(1)
	r.halt(f)
	m.settle(retry(ds[0], 0), giveBack(ds[1]), snooze(ds[2], 0))
	leaving.close()
	for range 2 {
		m.none()
	}
	r.in(broker.StateBlocked, idsOf(tasks)...)
	for _, v := range r.cancel(idsOf(tasks)...) {
		if v != broker.CancelPrevented {
			r.Fatalf("the verdict is %q", v)
		}
	}
}

func haltRunning(r *rig) {
	m := r.minion()
	f, tasks := r.team(5)
	other, others := r.team(1)
	r.enqueue(append(tasks, others...)...)
	ds := m.take(6)
	m.settle(m.succeed(ds[0]))
	var held []broker.ID
	for _, d := range ds[1:] {
		if d.ID != others[0].ID {
			held = append(held, d.ID)
		}
	}
	r.sameSet(r.halt(f).Running, held)
	r.sameSet(r.halt(other).Running, []broker.ID{others[0].ID}) // and no member of the first flow
	r.in(broker.StateRunning, held...)
	m.settle(m.succeed(ds[1]))
	r.in(broker.StateSucceeded, ds[1].ID)
}

func haltCanceled(r *rig) {
	dying, m := r.minion(), r.minion()
	f, tasks := r.team(1)
	r.enqueue(tasks...)
	dying.take1()
	r.halt(f)
	r.canceled(tasks[0].ID, broker.CancelRequested)
	r.reap([]*minion{m}, dying)
	endsCanceled(r, m, tasks[0])
}

func haltFinalizer(r *rig) {
	m := r.minion()
	last := r.task(blocked)
	f := r.group(1, func(f *broker.Flow) { f.Finalizer = last.ID })
	memberOf(f, broker.StepFinalizer)(last)
	member := r.task(memberOf(f, 0))
	r.open(f, []broker.ID{member.ID})
	r.enqueue(last, member)
	r.halt(f)
	m.none()
	r.releases(last)
	r.same(takenOf(m.take(1)), []broker.ID{last.ID})
}

func haltCallback(r *rig) {
	m := r.minion("q", "other")
	call := r.task(blocked, onQueue("other"))
	f := r.group(1, func(f *broker.Flow) { f.Callback = call.ID })
	memberOf(f, broker.StepCallback)(call)
	member := r.task(memberOf(f, 0))
	r.open(f, []broker.ID{member.ID})
	r.enqueue(call, member)
	if h := r.halt(f); len(h.Kills) != 2 {
		r.Fatalf("halted: %+v", h)
	}
	r.releases(call)
	m.none()
	r.in(broker.StateBlocked, call.ID)
	r.canceled(call.ID, broker.CancelPrevented)
}

func haltRequeued(r *rig) {
	m := r.minion()
	f, tasks := r.team(2)
	bury(r, m, tasks[0])
	r.enqueue(tasks[1])
	r.confirm(r.arrivals("q", 1)...)
	r.halt(f)
	requeue(r, tasks[0].ID)
	r.same(takenOf(m.take(1)), []broker.ID{tasks[0].ID})
	m.none()
}

func haltInner(r *rig) {
	m := r.minion()
	inner, tasks := r.team(2)
	pipe, call := broker.NewID(broker.KindPipe, "", 0), broker.NewID(broker.KindGroup, "", 0)
	member := r.task()
	outer := r.group(3, func(f *broker.Flow) { f.Callback = call })
	memberOf(outer, 1)(member)
	r.open(outer, []broker.ID{inner.ID, member.ID, pipe})
	r.enqueue(append(tasks, member)...)
	r.sameSet(r.halt(outer).Inner, []broker.ID{inner.ID, pipe, call})
	r.sameSet(takenOf(m.take(2)), idsOf(tasks)) // the tasks are members of the inner flow, which is not halted
	m.none()
}

func haltParked(r *rig) {
	f, tasks := r.team(2)
	other := r.task()
	r.parks(append(tasks, other)...)
	r.halt(f)
	m := r.knowing("test.task")
	r.same(takenOf(m.take(1)), []broker.ID{other.ID})
	m.none()
	r.in(broker.StateBlocked, idsOf(tasks)...)
	r.parked()
	for _, v := range r.cancel(idsOf(tasks)...) {
		if v != broker.CancelPrevented {
			r.Fatalf("the verdict is %q", v)
		}
	}
}

func haltAssign(r *rig) {
	m := r.minion()
	f, tasks := r.team(2, inSquad)
	other := r.task(inSquad)
	r.enqueue(append(tasks, other)...)
	r.halt(f)
	r.assign(m.ID(), append(idsOf(tasks), other.ID), 0, 1)
	m.assignments(1)
	r.in(broker.StateBlocked, idsOf(tasks)...)
}

func haltBounds(r *rig) {
	h := r.halt(r.group(1))
	if len(h.Kills)+len(h.Inner)+len(h.Running) > 0 {
		r.Fatalf("Halt of an unknown flow returned %+v", h)
	}
	many := make([]broker.ID, broker.MaxBatch+1)
	for i := range many {
		many[i] = broker.NewID(broker.KindGroup, "", 0)
	}
	_, err := r.halter().Halt(r.ctx, many)
	r.is(err, broker.ErrTooLarge)
	if _, err := r.halter().Halt(r.ctx, many[:broker.MaxBatch]); err != nil {
		r.Fatalf("Halt of %d flows returned %v", broker.MaxBatch, err)
	}
	if _, err := r.halter().Halt(r.ctx, nil); err != nil {
		r.Fatalf("Halt of no flow returned %v", err)
	}
	if err := r.flows().Confirm(r.ctx, []broker.Arrival{{Queue: "q", Flow: many[0], Kill: true}}); err != nil {
		r.Fatalf("Confirm of a kill that is not stored returned %v", err)
	}
}

func haltMany(r *rig) {
	const n = 5*broker.MaxBatch + 345
	m := r.minion()
	f, tasks := r.team(n)
	others := r.batch(30)
	r.enqueue(others[:10]...)
	r.enqueue(tasks[:n/2]...)
	r.enqueue(others[10:20]...)
	r.enqueue(tasks[n/2:]...)
	r.enqueue(others[20:]...)
	h := r.halt(f)
	r.sameSet(takenOf(m.take(30)), idsOf(others))
	m.none()
	for at := 0; at < n; at += broker.MaxBatch {
		for _, v := range r.cancel(idsOf(tasks[at:min(at+broker.MaxBatch, n)])...) {
			if v != broker.CancelPrevented {
				r.Fatalf("the verdict is %q", v)
			}
		}
	}
	r.confirm(h.Kills...)
	next := r.task()
	r.enqueue(next)
	r.same(takenOf(m.take(1)), []broker.ID{next.ID})
}
