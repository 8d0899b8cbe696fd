package brokertest

import (
	"sync"
	"sync/atomic"

	"github.com/go-arbiter/arbiter/broker"
)

// Every position of a flow is counted once.
var flowCountTests = []test{
	{"ArriveEachState", flowArriveEachState, 0},
	{"ArriveTwice", flowArriveTwice, 0},
	{"ArriveTwiceInOneBatch", flowArriveTwiceInOneBatch, 0},
	{"ArriveTwoAtOnce", flowArriveTwoAtOnce, 0},
	{"ArriveLastIsSeen", flowArriveLastIsSeen, 0},
	{"ArriveCallbackAndFinalizer", flowArriveCallback, 0},
	{"ArriveFlow", flowArriveFlow, 0},
	{"ArriveNothing", flowArriveNothing, 0},
	{"ArriveInvalid", flowArriveInvalid, 0},
	{"ArriveFirstFailure", flowArriveFirst, 0},
	{"ArriveIsOfTheCaller", flowArriveBelongs, 0},
	{"MembersPaging", flowMembersPaging, 0},
	{"MembersLargeResults", flowMembersLarge, 0},
	{"Marks", flowMarks, 0},
	{"MarksConcurrently", flowMarksConcurrently, 0},
}

func flowArriveEachState(r *rig) {
	f, ids := r.opened(5)
	for i, state := range finals {
		r.counted(r.arrive(f, arrivalOf(f, ids[i], i, state)), 1, i)
	}
	p := r.progress(f)
	r.counted(p, 1, 3)
	if p.Callback != broker.StateUnknown || p.Finalizer != broker.StateUnknown || p.Outcome != nil {
		r.Fatalf("after an arrival more than the count of the flow changed: %+v", *p)
	}
	for i, m := range r.members(f, 10) {
		if i == len(finals) {
			if m.State != broker.StateUnknown || m.ID != ids[i] {
				r.Fatalf("the member without an arrival is %+v", m)
			}
			break
		}
		if m.State != finals[i] || m.ID != ids[i] {
			r.Fatalf("member %d is %s (%s), want %s (%s)", i, m.ID, m.State, ids[i], finals[i])
		}
		r.equal(*m.Outcome, endedAs(ids[i], finals[i]))
	}
}

// The first outcome at a position stays.
func flowArriveTwice(r *rig) {
	f, ids := r.opened(3)
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded), arrivalOf(f, ids[1], 1, broker.StateFailed))
	for _, state := range finals {
		for i := range 2 {
			r.counted(r.arrive(f, arrivalOf(f, ids[i], i, state)), 1, 1)
		}
	}
	r.counted(r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateFailed), arrivalOf(f, ids[2], 2, broker.StateSucceeded)), 2, 1)
	for i, m := range r.members(f, 10) {
		r.equal(*m.Outcome, endedAs(ids[i], []broker.State{broker.StateSucceeded, broker.StateFailed, broker.StateSucceeded}[i]))
	}
}

func flowArriveTwiceInOneBatch(r *rig) {
	f, ids := r.opened(2)
	p := r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded), arrivalOf(f, ids[0], 0, broker.StateSucceeded),
		arrivalOf(f, ids[1], 1, broker.StateFailed), arrivalOf(f, ids[0], 0, broker.StateSucceeded))
	r.counted(p, 1, 1)
	r.counted(r.progress(f), 1, 1)
}

func flowArriveTwoAtOnce(r *rig) {
	other := r.other()
	const n = 40
	f, ids := r.opened(n)
	together(many(4, func(i int) {
		b := []broker.Broker{r.Broker, other}[i%2]
		for step := range n {
			if _, err := r.flowsAt(b).Arrive(r.ctx, f.ID, []broker.Arrival{arrivalOf(f, ids[step], step, finals[(i+step)%2])}); err != nil {
				r.Errorf("Arrive: %v", err)
			}
		}
	})...)
	p := r.progress(f)
	succeeded := 0
	for i, m := range r.members(f, n) {
		if m.State == broker.StateSucceeded {
			succeeded++
		}
		r.equal(*m.Outcome, endedAs(ids[i], m.State))
	}
	r.counted(p, succeeded, n-succeeded)
}

// Exactly the last arrival completes the count, and at least one caller of Arrive sees the complete
// count.
func flowArriveLastIsSeen(r *rig) {
	other := r.other()
	for range 10 {
		const n = 12
		f, ids := r.opened(n)
		var all atomic.Int32
		together(many(n, func(i int) {
			b := []broker.Broker{r.Broker, other}[i%2]
			p, err := r.flowsAt(b).Arrive(r.ctx, f.ID, []broker.Arrival{arrivalOf(f, ids[i], i, broker.StateSucceeded)})
			if err != nil {
				r.Errorf("Arrive: %v", err)
				return
			}
			if p.Arrived() == n {
				all.Add(1)
			}
		})...)
		if all.Load() == 0 {
			r.Fatalf("no call of Arrive returned the complete count")
		}
		r.counted(r.progress(f), n, 0)
	}
}

func flowArriveCallback(r *rig) {
	f := r.fullFlow(2)
	ids := newIDs(2)
	r.open(f, ids)
	at := func(id broker.ID, step uint32, state broker.State) broker.Arrival {
		return broker.Arrival{Queue: "q", Task: id, Flow: f.ID, Step: step, Outcome: endedAs(id, state)}
	}
	check := func(p *broker.Progress, callback, finalizer broker.State) {
		r.Helper()
		r.counted(p, 1, 0)
		if p.Callback != callback || p.Finalizer != finalizer {
			r.Fatalf("the callback is %s, the finalizer %s; want %s and %s", p.Callback, p.Finalizer, callback, finalizer)
		}
	}
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded))
	check(r.arrive(f, at(f.Callback, broker.StepCallback, broker.StateFailed)), broker.StateFailed, broker.StateUnknown)
	check(r.arrive(f, at(f.Callback, broker.StepCallback, broker.StateSucceeded)), broker.StateFailed, broker.StateUnknown)
	check(r.arrive(f, at(f.Finalizer, broker.StepFinalizer, broker.StateSucceeded)), broker.StateFailed, broker.StateSucceeded)
	check(r.arrive(f, at(f.Finalizer, broker.StepFinalizer, broker.StateCanceled)), broker.StateFailed, broker.StateSucceeded)
	check(r.progress(f), broker.StateFailed, broker.StateSucceeded)
	if n := len(r.members(f, 10)); n != 2 {
		r.Fatalf("%d members, want 2", n)
	}
}

// A member may be a flow itself.
func flowArriveFlow(r *rig) {
	f, inner := r.group(2), r.group(1)
	task := newIDs(1)[0]
	r.open(f, []broker.ID{inner.ID, task})
	r.counted(r.arrive(f, arrivalOf(f, inner.ID, 0, broker.StateSucceeded)), 1, 0)
	if m := r.members(f, 10)[0]; m.ID != inner.ID || m.State != broker.StateSucceeded {
		r.Fatalf("the member that is a flow is %+v", m)
	}
}

func flowArriveNothing(r *rig) {
	f, ids := r.opened(2)
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateFailed))
	r.counted(r.arrive(f), 0, 1)
}

func flowArriveInvalid(r *rig) {
	f, ids := r.group(5), newIDs(5)
	r.opens(f, 0, ids[:2])
	good := arrivalOf(f, ids[0], 0, broker.StateSucceeded)
	for name, bad := range map[string]broker.Arrival{
		"a position that is not opened yet": arrivalOf(f, ids[2], 2, broker.StateSucceeded),
		"a position behind the last one":    arrivalOf(f, ids[2], 5, broker.StateSucceeded),
		"a member that still runs":          arrivalOf(f, ids[1], 1, broker.StateRunning),
		"a member without a state":          arrivalOf(f, ids[1], 1, broker.StateUnknown),
	} {
		if _, err := r.flows().Arrive(r.ctx, f.ID, []broker.Arrival{good, bad}); err == nil {
			r.Fatalf("Arrive counted %s", name)
		} else {
			r.is(err, broker.ErrInvalid)
		}
		r.counted(r.progress(f), 0, 0)
	}
	r.counted(r.arrive(f, good), 1, 0)
}

func flowArriveBelongs(r *rig) {
	f, ids := r.opened(2)
	a := arrivalOf(f, ids[0], 0, broker.StateSucceeded)
	b := arrivalOf(f, ids[1], 1, broker.StateFailed)
	r.arrive(f, a, b)
	spoil := func(o *broker.Outcome) {
		clear(o.Result)
		if o.Err != nil {
			o.Err.Message = "changed"
			clear(o.Err.Chain)
		}
	}
	spoil(&a.Outcome)
	spoil(&b.Outcome)
	for range 2 {
		for i, m := range r.members(f, 10) {
			r.equal(*m.Outcome, endedAs(ids[i], finals[i]))
			spoil(m.Outcome)
		}
	}
}

func flowMembersPaging(r *rig) {
	const n = 57
	f, ids := r.opened(n)
	r.arrive(f, arrivalOf(f, ids[30], 30, broker.StateFailed))
	for _, page := range []int{1, 10, n, 1000, 50_000} {
		members := r.members(f, page)
		r.same(listed(members), ids)
		for i, m := range members {
			if (m.State == broker.StateFailed) != (i == 30) {
				r.Fatalf("member %d is %s", i, m.State)
			}
		}
	}
	for _, from := range []int{n, n + 1, 1 << 30} {
		part, err := r.flows().Members(r.ctx, f.ID, from, 10, true)
		if err != nil || len(part) > 0 {
			r.Fatalf("Members from position %d returned %d members, %v; want none", from, len(part), err)
		}
	}
	part, err := r.flows().Members(r.ctx, f.ID, 50, 3, true)
	if err != nil {
		r.Fatalf("Members: %v", err)
	}
	r.same(listed(part), ids[50:53])
}

func flowMembersLarge(r *rig) {
	const n = 8
	f, ids := r.opened(n)
	for i, id := range ids {
		a := arrivalOf(f, id, i, broker.StateSucceeded)
		a.Outcome.Result = make([]byte, r.Broker.Limits().Result)
		a.Outcome.Result[i] = 1
		r.arrive(f, a)
	}
	members := r.members(f, 100)
	if len(members) != n {
		r.Fatalf("%d members, want %d", len(members), n)
	}
	for i, m := range members {
		if m.ID != ids[i] || m.Outcome == nil || len(m.Outcome.Result) != r.Broker.Limits().Result || m.Outcome.Result[i] != 1 {
			r.Fatalf("member %d was returned without its result", i)
		}
	}
}

func flowMarks(r *rig) {
	f, ids := r.opened(2)
	mark := func(marks, want broker.Marks) {
		r.Helper()
		if err := r.flows().MarkFlow(r.ctx, f.ID, marks); err != nil {
			r.Fatalf("MarkFlow: %v", err)
		}
		if p := r.progress(f); p.Marks != want {
			r.Fatalf("the flow has the marks %b, want %b", p.Marks, want)
		}
	}
	mark(0, 0)
	mark(broker.MarkSwept, broker.MarkSwept)
	mark(broker.MarkSwept, broker.MarkSwept)
	mark(0, broker.MarkSwept)
	mark(broker.MarkKilled, broker.MarkKilled|broker.MarkSwept)
	p := r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded))
	if p.Marks != broker.MarkKilled|broker.MarkSwept {
		r.Fatalf("after an arrival the flow has the marks %b, want them unchanged", p.Marks)
	}
	r.end(f, endedAs(f.ID, broker.StateCanceled))
	mark(broker.MarkSwept, broker.MarkKilled|broker.MarkSwept)
}

// Marks, members and outcomes that are stored at the same time do not undo each other.
func flowMarksConcurrently(r *rig) {
	other := r.other()
	for range 5 {
		f, ids := r.opened(4)
		var once sync.Once
		together(many(8, func(i int) {
			b := r.flowsAt([]broker.Broker{r.Broker, other}[i%2])
			var err error
			switch i {
			case 0, 1:
				err = b.MarkFlow(r.ctx, f.ID, broker.Marks(1<<i))
			case 2, 3, 4, 5:
				_, err = b.Arrive(r.ctx, f.ID, []broker.Arrival{arrivalOf(f, ids[i-2], i-2, finals[i%2])})
			default:
				err = b.OpenFlow(r.ctx, f, 0, ids)
			}
			if err != nil {
				once.Do(func() { r.Errorf("call %d: %v", i, err) })
			}
		})...)
		p := r.progress(f)
		r.counted(p, 2, 2)
		if p.Marks != broker.MarkKilled|broker.MarkSwept || p.Listed != 4 {
			r.Fatalf("the flow is %+v, want both marks and 4 members", *p)
		}
	}
}

// Progress.First is the first counted member that did not succeed. Later arrivals do not change it.
func flowArriveFirst(r *rig) {
	for _, state := range finals {
		f, ids := r.opened(300)
		r.arrive(f, arrivalOf(f, ids[1], 1, broker.StateSucceeded))
		if state == broker.StateSucceeded {
			continue
		}
		r.arrive(f, arrivalOf(f, ids[1], 1, state), arrivalOf(f, ids[257], 257, state), arrivalOf(f, ids[3], 3, state))
		r.arrive(f, arrivalOf(f, ids[0], 0, state), arrivalOf(f, f.ID, broker.StepCallback, state))
		if p := r.progress(f); p.Failed != 3 || p.First != 257 {
			r.Fatalf("%s: Failed is %d and First is %d, want 3 and 257", state, p.Failed, p.First)
		}
	}
	f, ids := r.opened(2)
	if p := r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateFailed)); p.First != 0 {
		r.Fatalf("First is %d for a flow without failures, want 0", p.First)
	}
}
