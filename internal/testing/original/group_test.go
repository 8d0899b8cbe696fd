package original

import (
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// A group may have several finalizers. All of them run, and the status lists them.
func TestSeveralFinalizers(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		last := arbiter.Finalizer(arbiter.Named("finalize"), time.Minute)
		g, err := r.arb.Group(r.ctx(), []task.Bound{arbiter.Named("simple_add", arbiter.Args(1))},
			arbiter.Callback(arbiter.Named("callback")), last, last, arbiter.Finalizer(arbiter.Named("subtract", arbiter.Args(5, 3)), 0))
		if err != nil {
			r.Fatal(err)
		}
		if err := g.Result(r.ctx(), nil); err != nil {
			r.Fatal(err)
		}
		if r.finals.Load() != 2 {
			r.Errorf("%d finalizers", r.finals.Load())
		}
		st, err := g.Status(r.ctx())
		if err != nil || st.Flow.Done != 5 || len(st.Flow.Tasks) != 5 {
			r.Fatalf("%+v, %v", st.Flow, err)
		}
		var sum int
		for i, one := range st.Flow.Tasks[2:] {
			var n int
			if err := one.Decode(&n); err != nil || one.Type != "finalize" || i == 2 && n != 2 {
				r.Errorf("finalizer %d has the type %s and the result %d, %v", i, one.Type, n, err)
			}
			sum += n
		}
		if sum != 1+2+2 { // the first two return 1 and 2, in any order
			r.Errorf("the sum of the finalizers' results is %d, want 5", sum)
		}
	})
}

// group([]): an empty list is no error. The callback and the finalizer run.
func TestEmptyGroup(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		ends := []arbiter.GroupOption{arbiter.Callback(arbiter.Named("callback")), arbiter.Finalizer(arbiter.Named("finalize"), 0)}
		g, err := r.arb.Group(r.ctx(), nil, ends...)
		if err != nil {
			r.Fatal(err)
		}
		if err := g.Result(r.ctx(), nil); err != nil {
			r.Fatal(err)
		}
		r.listed(g.ID(), "callback 1", "finalize 1")
		s, err := r.arb.Squad(r.ctx(), nil, ends[0], ends[1])
		if err != nil {
			r.Fatal(err)
		}
		if err := s.Result(r.ctx(), nil); err != nil {
			r.Fatal(err)
		}
		r.listed(s.ID(), "callback 2", "finalize 2")
		for st, err := range g.WaitForMembers(r.ctx()) {
			r.Errorf("the empty group returned %+v, %v, want nothing", st, err)
		}
	})
}

// pipe([]) returns no results.
func TestEmptyPipe(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		p, err := r.arb.Pipe(r.ctx(), nil)
		if err != nil {
			r.Fatal(err)
		}
		for st, err := range p.WaitForMembers(r.ctx()) {
			r.Errorf("the empty pipe returned %+v, %v, want nothing", st, err)
		}
		if err := p.Result(r.ctx(), nil); err != nil {
			r.Error(err)
		}
		r.listed(p.ID())
	})
}
