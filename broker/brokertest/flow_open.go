package brokertest

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var flowOpenTests = []test{
	{"Open", flowOpen, 0},
	{"OpenEveryField", flowOpenEveryField, 0},
	{"OpenEmpty", flowOpenEmpty, 0},
	{"OpenNothing", flowOpenNothing, 0},
	{"OpenInParts", flowOpenInParts, 0},
	{"OpenAgain", flowOpenAgain, 0},
	{"OpenAfterItsEnd", flowOpenAfterEnd, 0},
	{"OpenWithAGap", flowOpenGap, 0},
	{"OpenAnother", flowOpenAnother, 0},
	{"OpenLimits", flowOpenLimits, 0},
	{"OpenConcurrently", flowOpenConcurrently, 0},
	{"OpenIsOfTheCaller", flowOpenBelongs, 0},
	{"Unknown", flowUnknown, 0},
	{"ByAnotherClient", flowByAnotherClient, 0},
	{"KeptForYears", flowKeptForYears, needJump},
}

func flowOpen(r *rig) {
	f, ids := r.opened(3)
	p := r.progress(f)
	r.counted(p, 0, 0)
	if p.Listed != 3 || p.Callback != broker.StateUnknown || p.Finalizer != broker.StateUnknown || p.Marks != 0 || p.Outcome != nil {
		r.Fatalf("LookupFlow of a flow that was just opened returned %+v", *p)
	}
	r.same(listed(r.members(f, 10)), ids)
	for _, m := range r.members(f, 10) {
		if m.State != broker.StateUnknown {
			r.Fatalf("a member is %s before its arrival", m.State)
		}
	}
}

// listed returns the ids of members.
func listed(members []broker.Member) []broker.ID {
	ids := make([]broker.ID, len(members))
	for i, m := range members {
		ids[i] = m.ID
	}
	return ids
}

func flowOpenEveryField(r *rig) {
	for _, f := range []*broker.Flow{
		r.fullFlow(5),
		r.group(2, func(f *broker.Flow) {
			f.ID, f.Retention = broker.NewID(broker.KindPipe, "", 0), broker.DefaultRetention
		}),
		r.group(1, func(f *broker.Flow) { f.Quorum, f.Retention = 0, 0 }),
		r.group(broker.MaxMembers, func(f *broker.Flow) { f.Retention = broker.MaxDuration }),
	} {
		r.opens(f, 0, newIDs(1))
		if p := r.progress(f); p.Listed != 1 {
			r.Fatalf("%d members are listed, want 1", p.Listed)
		}
	}
	none := r.group(2)
	r.opens(none, 0, nil)
	if p := r.progress(none); p.Listed != 0 {
		r.Fatalf("%d members are listed, want none", p.Listed)
	}
	r.opens(none, 0, newIDs(2))
	if p := r.progress(none); p.Listed != 2 {
		r.Fatalf("%d members are listed, want 2", p.Listed)
	}
}

// A flow without members is stored like any other. It can be marked and ended, and its callback and
// finalizer can arrive.
func flowOpenEmpty(r *rig) {
	for _, kind := range []broker.Kind{broker.KindGroup, broker.KindPipe} {
		f := r.fullFlow(2)
		f.ID, f.Size, f.Quorum = broker.NewID(kind, "", 0), 0, 0
		for range 2 {
			r.opens(f, 0, nil)
			p := r.progress(f)
			r.counted(p, 0, 0)
			if p.Listed != 0 || p.Doomed() || p.Outcome != nil {
				r.Fatalf("LookupFlow of an empty flow that was just opened returned %+v", *p)
			}
		}
		r.in(broker.StatePending, f.ID)
		if err := r.flows().OpenFlow(r.ctx, f, 0, newIDs(1)); !errors.Is(err, broker.ErrInvalid) {
			r.Fatalf("OpenFlow with a member of an empty flow returned %v, want ErrInvalid", err)
		}
		if got := r.members(f, 10); len(got) != 0 {
			r.Fatalf("an empty flow has %d members", len(got))
		}
		_, err := r.flows().Arrive(r.ctx, f.ID, []broker.Arrival{arrivalOf(f, f.Callback, 0, broker.StateSucceeded)})
		r.is(err, broker.ErrInvalid)
		p := r.arrive(f, arrivalOf(f, f.Callback, broker.StepCallback, broker.StateSucceeded))
		r.counted(p, 0, 0)
		p = r.arrive(f, arrivalOf(f, f.Finalizer, broker.StepFinalizer, broker.StateFailed))
		if p.Callback != broker.StateSucceeded || p.Finalizer != broker.StateFailed {
			r.Fatalf("callback and finalizer of an empty flow are %s and %s", p.Callback, p.Finalizer)
		}
		r.end(f, endedAs(f.ID, broker.StateSucceeded))
		r.opens(f, 0, nil)
		if p := r.progress(f); p.Outcome == nil || p.Outcome.State != broker.StateSucceeded {
			r.Fatalf("LookupFlow of an empty flow that has ended returned %+v", *p)
		}
		r.in(broker.StateSucceeded, f.ID)
	}
}

// A flow has thousands of members. Each batch of them may be opened again, and counted again.
func flowOpenInParts(r *rig) {
	const n = 5000
	f, ids := r.group(n), newIDs(n)
	for from := 0; from < n; from += broker.MaxBatch {
		r.opens(f, from, ids[from:from+broker.MaxBatch])
		r.opens(f, from, ids[from:from+broker.MaxBatch])
		if p := r.progress(f); p.Listed != from+broker.MaxBatch {
			r.Fatalf("%d members are listed, want %d", p.Listed, from+broker.MaxBatch)
		}
	}
	for from := 0; from < n; from += broker.MaxBatch {
		r.opens(f, from, ids[from:from+broker.MaxBatch])
	}
	r.same(listed(r.members(f, 777)), ids)
	succeeded, failed := 0, 0
	for from := 0; from < n; from += 500 {
		var part []broker.Arrival
		for i := from; i < from+500; i++ {
			state := finals[i%3%2]
			if state == broker.StateSucceeded {
				succeeded++
			} else {
				failed++
			}
			part = append(part, arrivalOf(f, ids[i], i, state))
		}
		r.counted(r.arrive(f, part...), succeeded, failed)
		r.counted(r.arrive(f, part...), succeeded, failed)
	}
	for i, m := range r.members(f, broker.MaxBatch) {
		if m.ID != ids[i] || m.State != finals[i%3%2] {
			r.Fatalf("member %d is %s (%s), want %s (%s)", i, m.ID, m.State, ids[i], finals[i%3%2])
		}
	}
}

func flowOpenAgain(r *rig) {
	f, ids := r.group(4), newIDs(4)
	again := func(parts int) {
		r.Helper()
		for i := range parts {
			r.opens(f, 2*i, ids[2*i:2*i+2])
		}
	}
	again(1)
	again(1)
	again(2)
	r.opens(f, 1, ids[1:3]) // other batches of the same members
	r.opens(f, 0, ids)
	r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded))
	again(2)
	r.counted(r.progress(f), 1, 0)
	r.end(f, endedAs(f.ID, broker.StateFailed))
	again(2)
	p := r.progress(f)
	r.counted(p, 1, 0)
	if p.Listed != 4 || p.Outcome == nil {
		r.Fatalf("LookupFlow of a flow that has ended and was opened again returned %+v", *p)
	}
	r.same(listed(r.members(f, 10)), ids)
}

// Once a flow has ended, its list of members is final.
func flowOpenAfterEnd(r *rig) {
	f, ids := r.group(4), newIDs(5)
	r.opens(f, 0, ids[:2])
	r.end(f, endedAs(f.ID, broker.StateCanceled))
	r.opens(f, 2, ids[2:4])
	r.opens(f, 3, ids[3:4]) // the position before it is not listed
	r.opens(f, 0, ids[4:])  // another member has the position
	if p := r.progress(f); p.Listed != 2 {
		r.Fatalf("%d members are listed, want the 2 from before the end", p.Listed)
	}
	r.same(listed(r.members(f, 10)), ids[:2])
	other := *f
	other.Quorum--
	r.duplicate(r.flows().OpenFlow(r.ctx, &other, 0, ids[:1]), f.ID, f.ID, "")
}

// A flow that is nil is refused like any other invalid one.
func flowOpenNothing(r *rig) {
	r.is(r.flows().OpenFlow(r.ctx, nil, 0, nil), broker.ErrInvalid)
	r.is(r.flows().OpenFlow(r.ctx, nil, 0, newIDs(1)), broker.ErrInvalid)
}

func flowOpenGap(r *rig) {
	f, ids := r.group(10), newIDs(10)
	r.is(r.flows().OpenFlow(r.ctx, f, 2, ids[2:4]), broker.ErrInvalid)
	r.noFlow(f)
	r.opens(f, 0, ids[:2])
	r.is(r.flows().OpenFlow(r.ctx, f, 3, ids[3:]), broker.ErrInvalid)
	if p := r.progress(f); p.Listed != 2 {
		r.Fatalf("%d members are listed, want 2", p.Listed)
	}
	r.opens(f, 2, ids[2:])
	r.same(listed(r.members(f, 10)), ids)
}

// refusedFlow checks the error for a flow that differs from the stored one with its id.
func (r *rig) refusedFlow(f *broker.Flow, err error) {
	r.Helper()
	r.duplicate(err, f.ID, f.ID, "")
	r.names(err, "flow "+f.ID.String())
}

func flowOpenAnother(r *rig) {
	f, ids := r.fullFlow(4), newIDs(5)
	r.opens(f, 0, ids[:2])
	for name, change := range map[string]func(*broker.Flow){
		"size":      func(f *broker.Flow) { f.Size++ },
		"quorum":    func(f *broker.Flow) { f.Quorum-- },
		"callback":  func(f *broker.Flow) { f.Callback = broker.ID{} },
		"finalizer": func(f *broker.Flow) { f.Finalizer = ids[4] },
		"group":     func(f *broker.Flow) { f.Group = broker.NewID(broker.KindGroup, "", 0) },
		"step":      func(f *broker.Flow) { f.Step++ },
		"inbox":     func(f *broker.Flow) { f.Inbox = ids[4] },
		"retention": func(f *broker.Flow) { f.Retention += time.Second },
	} {
		other := *f
		change(&other)
		for from := range 3 {
			if err := r.flows().OpenFlow(r.ctx, &other, from, ids[from:4]); err == nil {
				r.Fatalf("OpenFlow from position %d accepted a flow whose %s differs from the stored one", from, name)
			} else {
				r.refusedFlow(f, err)
			}
		}
	}
	r.refusedFlow(f, r.flows().OpenFlow(r.ctx, f, 0, []broker.ID{ids[0], ids[4]}))
	r.refusedFlow(f, r.flows().OpenFlow(r.ctx, f, 0, []broker.ID{ids[0], ids[4], ids[2], ids[3]}))
	if p := r.progress(f); p.Listed != 2 {
		r.Fatalf("%d members are listed, want 2", p.Listed)
	}
	r.opens(f, 2, ids[2:4])
	r.same(listed(r.members(f, 10)), ids[:4])
}

func flowOpenLimits(r *rig) {
	ids := newIDs(broker.MaxBatch + 1)
	refused := func(what string, f *broker.Flow, from int, part []broker.ID) {
		r.Helper()
		if err := r.flows().OpenFlow(r.ctx, f, from, part); !errors.Is(err, broker.ErrInvalid) {
			r.Fatalf("OpenFlow with %s returned %v, want ErrInvalid", what, err)
		}
		_, err := r.flows().LookupFlow(r.ctx, f.ID)
		r.is(err, broker.ErrNotFound)
	}
	refused("more members at once than MaxBatch", r.group(5000), 0, ids)
	r.is(r.flows().OpenFlow(r.ctx, r.group(5000), 0, ids), broker.ErrTooLarge)
	refused("more members than its size", r.group(2), 0, ids[:3])
	refused("a negative position", r.group(2), -1, ids[:1])
	for name, change := range map[string]func(*broker.Flow){
		"fewer than no members":               func(f *broker.Flow) { f.Size, f.Quorum = -1, -1 },
		"a quorum without members":            func(f *broker.Flow) { f.Size, f.Quorum = 0, 1 },
		"too many members":                    func(f *broker.Flow) { f.Size = broker.MaxMembers + 1 },
		"a quorum greater than the size":      func(f *broker.Flow) { f.Quorum = 4 },
		"a negative quorum":                   func(f *broker.Flow) { f.Quorum = -1 },
		"a task's id":                         func(f *broker.Flow) { f.ID = ids[0] },
		"no id":                               func(f *broker.Flow) { f.ID = broker.ID{} },
		"a pipe with a quorum below its size": func(f *broker.Flow) { f.ID, f.Quorum = broker.NewID(broker.KindPipe, "", 0), 2 },
		"a negative retention":                func(f *broker.Flow) { f.Retention = -time.Second },
		"a retention over MaxDuration":        func(f *broker.Flow) { f.Retention = broker.MaxDuration + time.Hour },
	} {
		refused(name, r.group(3, change), 0, ids[:1])
	}
}

func flowOpenConcurrently(r *rig) {
	other := r.other()
	f, ids := r.group(3*broker.MaxBatch), newIDs(3*broker.MaxBatch)
	together(many(6, func(i int) {
		b := []broker.Broker{r.Broker, other}[i%2]
		for from := 0; from < len(ids); from += 500 {
			if err := r.flowsAt(b).OpenFlow(r.ctx, f, from, ids[from:from+500]); err != nil {
				r.Errorf("OpenFlow from position %d: %v", from, err)
				return
			}
		}
	})...)
	r.same(listed(r.members(f, broker.MaxBatch)), ids)

	// Of several flows with the same id, one is stored.
	id := broker.NewID(broker.KindGroup, "", 0)
	var won atomic.Int32
	together(many(6, func(i int) {
		g := r.group(i + 1)
		g.ID = id
		if r.flows().OpenFlow(r.ctx, g, 0, ids[:1]) == nil {
			won.Add(1)
		}
	})...)
	if won.Load() != 1 {
		r.Fatalf("%d different flows with the same id were opened, want 1", won.Load())
	}
}

func flowOpenBelongs(r *rig) {
	f, ids := r.fullFlow(3), newIDs(3)
	given, want := slices.Clone(ids), *f
	r.opens(f, 0, given)
	clear(given)
	*f = broker.Flow{}
	r.same(listed(r.members(&want, 10)), ids)
	r.progress(&want).Flow = broker.Flow{}
	r.progress(&want)
}

func flowUnknown(r *rig) {
	f := r.group(1)
	id := newIDs(1)[0]
	r.noFlow(f)
	_, err := r.flows().Arrive(r.ctx, f.ID, []broker.Arrival{arrivalOf(f, id, 0, broker.StateSucceeded)})
	r.is(err, broker.ErrNotFound)
	for _, marks := range []broker.Marks{broker.MarkKilled, broker.MarkStarted, 0} {
		r.is(r.flows().MarkFlow(r.ctx, f.ID, marks), broker.ErrNotFound)
	}
	o := endedAs(f.ID, broker.StateSucceeded)
	r.is(r.flows().EndFlow(r.ctx, f.ID, &o), broker.ErrNotFound)
	r.noFlow(f)
	r.in(broker.StateUnknown, f.ID)
	r.opens(f, 0, []broker.ID{id}) // none of those calls prevents the flow from being opened
	r.counted(r.progress(f), 0, 0)
}

func flowByAnotherClient(r *rig) {
	other := r.flowsAt(r.other())
	f, ids := r.opened(2)
	p, err := other.Arrive(r.ctx, f.ID, []broker.Arrival{arrivalOf(f, ids[1], 1, broker.StateFailed)})
	if err != nil || p.Flow != *f {
		r.Fatalf("Arrive: %+v, %v", p, err)
	}
	r.counted(p, 0, 1)
	r.counted(r.progress(f), 0, 1)
	o := endedAs(f.ID, broker.StateFailed)
	if err := other.EndFlow(r.ctx, f.ID, &o); err != nil {
		r.Fatalf("EndFlow: %v", err)
	}
	r.equal(*r.progress(f).Outcome, o)
}

// A flow that does not end is stored for FlowPatience after its last change: a member may be
// delayed for MaxDuration, and the flow must still be stored then. A flow whose members are not all
// opened is stored for OpenPatience.
func flowKeptForYears(r *rig) {
	const almost = broker.FlowPatience - 3*24*time.Hour
	f, ids := r.group(4), newIDs(4)
	half := r.group(4)
	r.opens(half, 0, newIDs(3))
	r.opens(f, 0, ids[:3])
	r.Advance(broker.OpenPatience - 24*time.Hour)
	r.progress(half)
	r.opens(f, 3, ids[3:])
	r.opens(f, 0, ids[:3]) // a late repetition of the first call
	r.Advance(2 * 24 * time.Hour)
	r.noFlow(half)
	for _, change := range []func(){
		func() { r.arrive(f, arrivalOf(f, ids[0], 0, broker.StateSucceeded)) },
		func() { r.arrive(f, arrivalOf(f, ids[1], 1, broker.StateFailed)) },
		func() {
			if err := r.flows().MarkFlow(r.ctx, f.ID, broker.MarkKilled); err != nil {
				r.Fatalf("MarkFlow: %v", err)
			}
		},
	} {
		r.Advance(almost)
		change()
	}
	r.Advance(almost)
	r.counted(r.progress(f), 1, 1)
	r.same(listed(r.members(f, 10)), ids)
	r.Advance(4 * 24 * time.Hour)
	r.noFlow(f)
	r.in(broker.StateUnknown, f.ID)
}
