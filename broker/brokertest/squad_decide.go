package brokertest

import (
	"sync/atomic"

	"github.com/go-arbiter/arbiter/broker"
)

// Whether a squad starts is decided once.
var decideTests = []test{
	{"DecideToStart", decideStart, 0},
	{"DecideNotToStart", decideNot, 0},
	{"DecideAtOnce", decideAtOnce, 0},
	{"DecideAfterAKill", decideKilled, 0},
	{"DecideAfterTheEnd", decideEnded, 0},
	{"DecideUnknownSquad", decideUnknown, 0},
}

func (r *rig) decides(f *broker.Flow, start, want bool) {
	r.Helper()
	started, err := r.squads().Decide(r.ctx, f.ID, start)
	if err != nil || started != want {
		r.Fatalf("Decide(%v) returned %v, %v, want %v", start, started, err, want)
	}
}

func (r *rig) marked(f *broker.Flow, want broker.Marks) {
	r.Helper()
	if got := r.progress(f).Marks; got != want {
		r.Fatalf("the squad has the marks %b, want %b", got, want)
	}
}

func decideStart(r *rig) {
	f, _ := r.opened(3)
	r.marked(f, 0)
	if err := r.flows().MarkFlow(r.ctx, f.ID, broker.MarkDropped|broker.MarkStarted); err != nil {
		r.Fatalf("MarkFlow: %v", err)
	}
	r.marked(f, 0) // the other flow has no mark
	for range 2 {
		r.decides(f, true, true)
		r.decides(f, false, true)
	}
	r.marked(f, broker.MarkStarted)
	if err := r.flows().MarkFlow(r.ctx, f.ID, broker.MarkKilled); err != nil {
		r.Fatalf("MarkFlow: %v", err)
	}
	r.decides(f, false, true) // the squad has started
	r.marked(f, broker.MarkStarted|broker.MarkKilled)
}

func decideNot(r *rig) {
	f, _ := r.opened(3)
	for range 2 {
		r.decides(f, false, false)
		r.decides(f, true, false)
	}
	r.marked(f, broker.MarkDropped)
}

func decideAtOnce(r *rig) {
	other := r.other()
	for range 10 {
		f, _ := r.opened(1)
		var yes, no atomic.Int32
		together(many(8, func(i int) {
			b := r.Broker
			if i%2 == 1 {
				b = other
			}
			switch started, err := r.squadsAt(b).Decide(r.ctx, f.ID, i%4 < 2); {
			case err != nil:
				r.Errorf("Decide: %v", err)
			case started:
				yes.Add(1)
			default:
				no.Add(1)
			}
		})...)
		if yes.Load() > 0 && no.Load() > 0 {
			r.Fatalf("of concurrent calls of Decide %d returned true and %d false, want the same for all", yes.Load(), no.Load())
		}
	}
}

func decideKilled(r *rig) {
	f, _ := r.opened(1)
	if err := r.flows().MarkFlow(r.ctx, f.ID, broker.MarkKilled); err != nil {
		r.Fatalf("MarkFlow: %v", err)
	}
	r.decides(f, true, false)
	r.decides(f, false, false)
	r.marked(f, broker.MarkKilled)
}

func decideEnded(r *rig) {
	f, ids := r.opened(1)
	r.end(f, endedAs(ids[0], broker.StateFailed))
	r.decides(f, true, false)
	f, ids = r.opened(1)
	r.decides(f, true, true)
	r.end(f, endedAs(ids[0], broker.StateFailed))
	r.decides(f, false, true)
}

func decideUnknown(r *rig) {
	for _, start := range []bool{true, false} {
		_, err := r.squads().Decide(r.ctx, broker.NewID(broker.KindGroup, "", 0), start)
		r.is(err, broker.ErrNotFound)
	}
}
