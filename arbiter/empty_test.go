package arbiter_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// wantEmpty checks that a result is an empty list that is not nil.
func wantEmpty[R any](t *testing.T, what string, got []R, err error) {
	t.Helper()
	if err != nil || got == nil || len(got) != 0 {
		t.Errorf("%s gives %#v, %v; want an empty slice", what, got, err)
	}
}

// A group or squad without calls succeeds at once, without a minion, and its result is the empty list.
func TestEmptyGroup(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		group, err := arbiter.GroupOf[int](t.Context(), r.arb, nil)
		if err != nil {
			t.Fatal(err)
		}
		squad, err := arbiter.SquadOf[int](t.Context(), r.arb, nil, arbiter.WaitForWorkers(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		for what, g := range map[string]*arbiter.GroupFuture[int]{"group": group, "squad": squad} {
			results, err := g.Results(t.Context())
			wantEmpty(t, what+": Results", results, err)
			for st, err := range g.WaitForMembers(t.Context()) {
				t.Errorf("%s: Wait yields %+v, %v", what, st, err)
			}
			var ints []int
			err = g.Result(t.Context(), &ints)
			wantEmpty(t, what+": Result", ints, err)
			st, err := g.Status(t.Context())
			if err != nil || st.Phase() != broker.PhaseDone || st.State != broker.StateSucceeded || st.Flow.Size != 0 {
				t.Errorf("%s: %+v, %v", what, st, err)
			}
			if v, err := st.Result(); err != nil || !reflect.DeepEqual(v, []any{}) {
				t.Errorf("%s: the result of its status is %#v, %v", what, v, err)
			}
			if killed, err := g.Kill(t.Context(), arbiter.Wait()); err != nil || len(killed) > 0 {
				t.Errorf("%s: killed %v, %v", what, killed, err)
			}
		}
	})
}

// Callback and finalizer of a group or squad without calls run.
func TestEmptyGroupGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, echo)
		g, fut, err := arbiter.GroupThen(t.Context(), r.arb, nil, sumStep(), arbiter.Finalizer(note(1), 0))
		if err != nil {
			t.Fatal(err)
		}
		s, more, err := arbiter.SquadThen(t.Context(), r.arb, nil, sumStep(), arbiter.Finalizer(note(2), 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, fut := range []*task.Future[int]{fut, more} {
			if n, err := await(t, fut); n != 0 || err != nil {
				t.Errorf("the callback gives %d, %v", n, err)
			}
		}
		if err := r.ended(g.Group); err != nil {
			t.Error(err)
		}
		if err := r.ended(s.Group); err != nil {
			t.Error(err)
		}
		if notes := j.noted(); j.count("sum") != 2 || len(notes) != 2 {
			t.Errorf("%d callbacks, finalizers %v", j.count("sum"), notes)
		}
	})
}

// If a group without calls is killed while its callback waits for a minion, the callback never runs. The finalizer does.
func TestEmptyGroupKilled(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		g, fut, err := arbiter.GroupThen(t.Context(), r.arb, nil, sumStep(), arbiter.Finalizer(note(1), 0))
		if err != nil {
			t.Fatal(err)
		}
		killed, err := g.Kill(t.Context())
		if err != nil || len(killed) != 1 || killed[0].ID != fut.ID() || killed[0].Verdict != arbiter.NeverStarted {
			t.Errorf("%v, %v", killed, err)
		}
		j := r.flowCrew(2, echo)
		if err := r.ended(g.Group); err == nil {
			t.Error("a killed group succeeded")
		}
		if notes := j.noted(); j.count("sum") != 0 || len(notes) != 1 {
			t.Errorf("%d callbacks, finalizers %v", j.count("sum"), notes)
		}
	})
}

// A group without calls can be used like any call or step of its type.
func TestEmptyCalls(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, echo)
		all, err := run(r, task.All[int]())
		wantEmpty(t, "All", all, err)
		collected, err := run(r, task.Collect[int]())
		wantEmpty(t, "Collect", collected, err)
		quorum, err := run(r, task.Quorum[int](0))
		wantEmpty(t, "Quorum", quorum, err)
		forked, err := run(r, task.Then(work.Bind(args{1}), task.Fork[int, int]()))
		wantEmpty(t, "Fork", forked, err)
		if n, err := run(r, task.Then(task.All[int](), sumStep())); n != 0 || err != nil {
			t.Errorf("the total of nothing is %d, %v", n, err)
		}
		if n, err := run(r, task.Then(task.Then(task.Then(task.All[int](), sumStep()), plus(3)), plus(4))); n != 7 || err != nil {
			t.Errorf("the pipe gives %d, %v", n, err)
		}
		nested, err := run(r, task.All(task.All[int](), task.All(work.Bind(args{5})), task.All[int]()))
		if err != nil || !reflect.DeepEqual(nested, [][]int{{}, {5}, {}}) {
			t.Errorf("nested: %#v, %v", nested, err)
		}
		if _, err := run2(r, task.Quorum[int](1)); err == nil {
			t.Error("a quorum of one without calls succeeded")
		}
		if n := j.count("sum"); n != 2 {
			t.Errorf("sum ran %d times", n)
		}
	})
}

// A pipe without steps yields nothing, as in the original, and has succeeded.
func TestEmptyPipe(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, err := r.arb.Pipe(t.Context(), nil, arbiter.PersistentArgs(1))
		if err != nil {
			t.Fatal(err)
		}
		for st, err := range p.WaitForMembers(t.Context()) {
			t.Errorf("it yields %+v, %v", st, err)
		}
		var anything any
		if err := p.Result(t.Context(), &anything); err != nil || anything != nil {
			t.Errorf("its result is %v, %v", anything, err)
		}
		var n int
		if err := p.Result(t.Context(), &n); !errors.Is(err, codec.ErrType) {
			t.Errorf("its result as a number is %d, %v", n, err)
		}
		st, err := p.Status(t.Context())
		if err != nil || st.State != broker.StateSucceeded || st.Flow.Size != 0 {
			t.Errorf("%+v, %v", st, err)
		}
	})
}
