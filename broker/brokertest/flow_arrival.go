package brokertest

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A member that becomes final leaves one arrival.
var flowArrivalTests = []test{
	{"ArrivalOfEachState", flowArrivalEachState, 0},
	{"ArrivalOfMembersOnly", flowArrivalMembersOnly, 0},
	{"ArrivalOfRetention0", flowArrivalRetention0, 0},
	{"NoArrivalOfARetry", flowArrivalRetry, needLapse},
	{"NoArrivalOfARepeatedSettlement", flowArrivalRepeated, 0},
	{"NoArrivalOfALateSettlement", flowArrivalLate, needLapse},
	{"ArrivalOfAnyPosition", flowArrivalAnyPlace, 0},
	{"ArrivalInItsQueue", flowArrivalQueues, 0},
	{"ArrivalsLimit", flowArrivalsLimit, 0},
	{"ArrivalsLargeResults", flowArrivalsLarge, 0},
	{"ArrivalIsOfTheCaller", flowArrivalBelongs, 0},
	{"ConfirmTwice", flowConfirmTwice, 0},
	{"ConfirmNothing", flowConfirmNothing, 0},
}

// arrivals returns the arrivals of a queue. There must be exactly n.
func (r *rig) arrivals(queue string, n int) []broker.Arrival {
	r.Helper()
	return r.arrivalsAt(r.Broker, queue, n)
}

func (r *rig) arrivalsAt(b broker.Broker, queue string, n int) []broker.Arrival {
	r.Helper()
	type key struct {
		task    broker.ID
		submits bool
	}
	seen := map[key]bool{}
	var all []broker.Arrival
	more := func() {
		r.Helper()
		part, err := r.flowsAt(b).Arrivals(r.ctx, queue, broker.MaxBatch)
		if err != nil {
			r.Fatalf("Arrivals: %v", err)
		}
		for _, a := range part {
			if queue != "" && a.Queue != queue {
				r.Fatalf("Arrivals of queue %s returned an arrival of queue %q", queue, a.Queue)
			}
			if k := (key{a.Task, a.Submit != nil}); !seen[k] {
				seen[k] = true
				all = append(all, a)
			}
		}
	}
	r.eventually("Arrivals returns all expected arrivals", func() bool { more(); return len(all) >= n })
	more()
	if len(all) > n {
		r.Fatalf("queue %q has %d arrivals, want %d", queue, len(all), n)
	}
	return all
}

// confirm confirms arrivals, which must succeed.
func (r *rig) confirm(arrivals ...broker.Arrival) {
	r.Helper()
	if err := r.flows().Confirm(r.ctx, arrivals); err != nil {
		r.Fatalf("Confirm: %v", err)
	}
}

// arrived checks that queue "q" has exactly one arrival, of this member with this outcome, and
// confirms it.
func (r *rig) arrived(task *broker.Task, o broker.Outcome) {
	r.Helper()
	a := r.arrivals("q", 1)[0]
	r.isArrival(a, task)
	r.equal(a.Outcome, o)
	r.confirm(a)
	r.arrivals("q", 0)
}

// isArrival checks that an arrival is of the task.
func (r *rig) isArrival(a broker.Arrival, task *broker.Task) {
	r.Helper()
	if a.Queue != task.Queue || a.Task != task.ID || a.Flow != task.Flow.ID || a.Step != task.Flow.Step || a.Submit != nil {
		r.Fatalf("the arrival is of task %s in queue %s, position %d of %s; want task %s in queue %s, position %d of %s",
			a.Task, a.Queue, a.Step, a.Flow, task.ID, task.Queue, task.Flow.Step, task.Flow.ID)
	}
}

func flowArrivalEachState(r *rig) {
	m := r.minion()
	f, tasks := r.team(len(finals))
	r.enqueue(tasks...)
	ds := m.take(len(finals))
	r.arrivals("q", 0)
	for i, state := range finals { // a failed member is a dead letter, and leaves an arrival too
		s := m.finish(ds[i], state)
		m.settle(s)
		r.arrived(tasks[i], s.Outcome)
	}
	r.counted(r.progress(f), 0, 0) // an arrival is not counted before somebody calls Arrive
}

func flowArrivalMembersOnly(r *rig) {
	m := r.minion()
	tasks := r.batch(5, func(t *broker.Task) { t.Flow.Step = 3 })
	r.enqueue(tasks...)
	r.cancel(tasks[0].ID)
	for i, d := range m.take(4) {
		m.settle(m.finish(d, finals[i]))
	}
	r.arrivals("q", 0)
	r.arrivals("", 0)
	if m.hears("q") {
		r.Fatalf("OnArrivals was called for a queue without arrivals")
	}
}

// The arrival has the outcome, even if the retention of the task is 0.
func flowArrivalRetention0(r *rig) {
	m := r.minion()
	_, tasks := r.team(4, kept(0, 0))
	for i, task := range tasks {
		r.enqueue(task)
		s := m.finish(m.take1(), finals[i])
		m.settle(s)
		r.pass(r.Slack, m)
		r.absent(finals[i], task.ID)
		r.arrived(task, s.Outcome)
	}
}

func flowArrivalRetry(r *rig) {
	dying, m := r.minion(), r.minion()
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	for _, settle := range []func(*broker.Delivery) broker.Settlement{
		func(d *broker.Delivery) broker.Settlement { return retry(d, 0) },
		func(d *broker.Delivery) broker.Settlement { return snooze(d, 10*time.Millisecond) },
		giveBack,
	} {
		m.settle(settle(m.take1()))
		r.arrivals("q", 0)
	}
	dying.take1()
	r.reap([]*minion{m}, dying)
	r.arrivals("q", 0)
	s := m.finish(m.take1(), broker.StateFailed)
	m.settle(s)
	r.arrived(tasks[0], s.Outcome)
}

func flowArrivalRepeated(r *rig) {
	m := r.minion()
	_, tasks := r.team(len(finals))
	r.enqueue(tasks...)
	for i, d := range m.take(len(finals)) {
		s := m.finish(d, finals[i])
		m.settle(s)
		m.settle(s)
		m.settle(s, s)
		r.arrived(tasks[i], s.Outcome)
		m.settle(s) // a repeat does not bring a confirmed arrival back
		r.arrivals("q", 0)
	}
}

func flowArrivalLate(r *rig) {
	late, m := r.minion(), r.minion()
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	old := late.take1()
	r.reap([]*minion{m}, late)
	r.back(idsOf(tasks), m)
	refused := func() {
		r.Helper()
		if lost(late.Settle(r.ctx, []broker.Settlement{late.succeed(old)})) == nil {
			r.Fatalf("the settlement of a lost lease was accepted")
		}
		for _, s := range []broker.Settlement{m.succeed(old), m.finish(old, broker.StateFailed)} {
			s.Submit = r.submissions(s, 1)
			r.is(m.settled(s)[0], broker.ErrLeaseLost)
		}
	}
	refused()
	r.arrivals("q", 0)
	d := m.take1()
	refused()
	r.arrivals("q", 0)
	s := m.succeed(d)
	m.settle(s)
	refused()
	r.arrived(tasks[0], s.Outcome)
}

// submissions returns n tasks to submit with a settlement, or none if the settlement must not
// submit tasks.
func (r *rig) submissions(s broker.Settlement, n int, with ...func(*broker.Task)) []*broker.Task {
	if s.Verb != broker.VerbFinish || s.Outcome.State != broker.StateSucceeded {
		return nil
	}
	return r.batch(n, with...)
}

func flowArrivalAnyPlace(r *rig) {
	m := r.minion()
	pipe := r.group(3, func(f *broker.Flow) { f.ID = broker.NewID(broker.KindPipe, "", 0) })
	for _, step := range []uint32{0, 2, broker.MaxMembers - 1, broker.StepCallback, broker.StepFinalizer} {
		task := r.task(memberOf(pipe, step)) // the flow need not be open
		r.enqueue(task)
		s := m.succeed(m.take1())
		m.settle(s)
		r.arrived(task, s.Outcome)
	}
}

func flowArrivalQueues(r *rig) {
	m := r.minion("a", "b")
	f := r.group(2)
	a, b := r.task(onQueue("a"), memberOf(f, 0)), r.task(onQueue("b"), memberOf(f, 1))
	r.enqueue(a, b)
	ds := m.take(2)
	m.settle(m.succeed(ds[0]), m.succeed(ds[1]))
	inA, inB := r.arrivals("a", 1)[0], r.arrivals("b", 1)[0]
	r.isArrival(inA, a)
	r.isArrival(inB, b)
	r.arrivals("c", 0)
	r.confirm(inA)
	r.arrivals("a", 0)
	r.arrivals("b", 1)
	wrong := inB
	wrong.Queue = "a"
	r.confirm(wrong)
	r.arrivals("b", 1)
	r.confirm(inA, inB)
	r.arrivals("b", 0)
}

func flowArrivalsLimit(r *rig) {
	const n = 300
	m := r.minion()
	_, tasks := r.team(n)
	r.enqueue(tasks...)
	var batch []broker.Settlement
	for _, d := range m.take(n) {
		batch = append(batch, m.succeed(d))
	}
	m.settle(batch...)
	r.arrivals("q", n)
	var got []broker.ID
	for _, limit := range []int{1, 2, 7, 100, 5000, 5000, 5000, 5000} {
		part, err := r.flows().Arrivals(r.ctx, "q", limit)
		if err != nil {
			r.Fatalf("Arrivals: %v", err)
		}
		if len(part) > limit {
			r.Fatalf("Arrivals returned %d arrivals, the limit was %d", len(part), limit)
		}
		if len(part) == 0 && len(got) < n {
			r.Fatalf("Arrivals returned none, but %d are not confirmed", n-len(got))
		}
		for _, a := range part {
			got = append(got, a.Task)
		}
		r.confirm(part...)
	}
	for len(got) < n { // a call may return as few as it likes
		part := r.arrivals("q", n-len(got))
		for _, a := range part {
			got = append(got, a.Task)
		}
		r.confirm(part...)
	}
	r.sameSet(got, idsOf(tasks))
	r.arrivals("q", 0)
}

func flowArrivalsLarge(r *rig) {
	const n = 8
	m := r.minion()
	_, tasks := r.team(n)
	r.enqueue(tasks...)
	for _, d := range m.take(n) {
		s := m.succeed(d)
		s.Outcome.Result = make([]byte, r.Broker.Limits().Result)
		m.settle(s)
	}
	var got []broker.ID
	for len(got) < n {
		part, err := r.flows().Arrivals(r.ctx, "q", 100)
		if err != nil || len(part) == 0 {
			r.Fatalf("Arrivals returned %d arrivals, %v; %d are not confirmed", len(part), err, n-len(got))
		}
		for _, a := range part {
			if len(a.Outcome.Result) != r.Broker.Limits().Result {
				r.Fatalf("an arrival has a result of %d bytes, want the whole result", len(a.Outcome.Result))
			}
			got = append(got, a.Task)
		}
		r.confirm(part...)
	}
	r.sameSet(got, idsOf(tasks))
}

func flowArrivalBelongs(r *rig) {
	m := r.minion()
	_, tasks := r.team(1)
	r.enqueue(tasks...)
	s := m.succeed(m.take1())
	want := s.Outcome
	want.Result = append([]byte(nil), want.Result...)
	m.settle(s)
	clear(s.Outcome.Result)
	for range 2 {
		a := r.arrivals("q", 1)[0]
		r.equal(a.Outcome, want)
		clear(a.Outcome.Result)
	}
}

func flowConfirmTwice(r *rig) {
	m := r.minion()
	_, tasks := r.team(3)
	r.enqueue(tasks...)
	for _, d := range m.take(3) {
		m.settle(m.succeed(d))
	}
	all := r.arrivals("q", 3)
	r.confirm(all[0])
	r.confirm(all[0])
	r.confirm(all[0], all[1], all[1])
	r.isOne(r.arrivals("q", 1)[0], all[2])
	together(many(4, func(int) {
		if err := r.flows().Confirm(r.ctx, all); err != nil {
			r.Errorf("Confirm: %v", err)
		}
	})...)
	r.arrivals("q", 0)
}

// isOne checks that two arrivals are of the same task and of the same kind.
func (r *rig) isOne(got, want broker.Arrival) {
	r.Helper()
	if got.Task != want.Task || (got.Submit != nil) != (want.Submit != nil) {
		r.Fatalf("the arrival of task %s is left, want the arrival of task %s", got.Task, want.Task)
	}
}

func flowConfirmNothing(r *rig) {
	m := r.minion()
	f, tasks := r.team(1)
	r.confirm()
	early := arrivalOf(f, tasks[0].ID, 0, broker.StateSucceeded)
	r.confirm(early)
	r.enqueue(tasks...)
	r.confirm(early)
	s := m.succeed(m.take1())
	r.confirm(early)
	m.settle(s)
	r.arrived(tasks[0], s.Outcome)
	if _, err := r.flows().Arrivals(r.ctx, "no queue", 10); !errors.Is(err, broker.ErrInvalid) {
		r.Fatalf("Arrivals of an invalid queue name returned %v", err)
	}
	for _, limit := range []int{0, -1} {
		_, err := r.flows().Arrivals(r.ctx, "q", limit)
		r.is(err, broker.ErrInvalid)
		_, err = r.flows().Members(r.ctx, f.ID, 0, limit, true)
		r.is(err, broker.ErrInvalid)
	}
	_, err := r.flows().Members(r.ctx, f.ID, -1, 10, true)
	r.is(err, broker.ErrInvalid)
	r.is(r.flows().Confirm(r.ctx, []broker.Arrival{{Queue: "no queue", Task: tasks[0].ID}}), broker.ErrInvalid)
}
