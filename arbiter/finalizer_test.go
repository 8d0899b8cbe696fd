package arbiter_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// sorted returns the noted numbers in order.
func (j *journal) sorted() []int {
	n := j.noted()
	slices.Sort(n)
	return n
}

// As in the original, several finalizers all run, regardless of the outcomes of the group and of each other, and the group
// ends after them.
func TestSeveralFinalizers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(3, func(ctx context.Context, a args) (int, error) {
			if a.N < 0 {
				return 0, task.NoRetry(errBad)
			}
			return slow(ctx, a)
		})
		last := func(n int) []arbiter.GroupOption {
			return []arbiter.GroupOption{
				arbiter.Finalizer(note(n), 0), arbiter.Finalizer(work.Bind(args{-1}), 0), arbiter.Finalizer(work.Bind(args{5}), time.Hour),
			}
		}
		g, fut, err := arbiter.GroupThen(t.Context(), r.arb, works(1, 2), sumStep(), last(1)...)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(g); err != nil {
			t.Error(err)
		}
		if n, err := await(t, fut); n != 3 || err != nil {
			t.Errorf("the callback gives %d, %v", n, err)
		}
		st, err := r.arb.Status(t.Context(), g.Finalizer())
		if err != nil || st.Flow == nil || st.Flow.Done != 3 || st.Flow.Succeeded != 2 {
			t.Errorf("the finalizers: %+v, %v", st, err)
		}
		bad, err := arbiter.GroupOf(t.Context(), r.arb, works(-1, 600), last(2)...)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(bad); !errors.Is(err, task.ErrFlowFailed) {
			t.Errorf("one that fails: %v", err)
		}
		// Whether the slow member has begun is open: the other one may fail before.
		if notes, n := j.sorted(), j.count("work"); !slices.Equal(notes, []int{1, 2}) || n != 2+2+1+2 && n != 2+2+2+2 {
			t.Errorf("finalizers %v; %d works", notes, n)
		}
	})
}

// Each of several finalizers has its own timeout, and runs once.
func TestFinalizersTimeOut(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(3, slow)
		began := time.Now()
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(60),
			arbiter.Finalizer(note(1), 20*time.Second), arbiter.Finalizer(note(2), 0), arbiter.Finalizer(note(3), 40*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range [][]int{nil, {1}, {1, 3}} {
			time.Sleep(15 * time.Second)
			if got := j.sorted(); !slices.Equal(got, want) {
				t.Errorf("after %v %v have run, want %v", time.Since(began), got, want)
			}
		}
		if err := r.ended(g); err != nil {
			t.Error(err)
		}
		if got := j.sorted(); !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("%v have run", got)
		}
	})
}

// The finalizers of a group that was killed or could not be stored completely still run.
func TestFinalizersOfWhatDoesNotStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(1, 2), arbiter.Finalizer(note(1), 0), arbiter.Finalizer(note(2), 0))
		if err != nil {
			t.Fatal(err)
		}
		killed, err := g.Kill(t.Context())
		if err != nil || len(killed) != 2 {
			t.Errorf("%v, %v", killed, err)
		}
		r.send(1, task.Unique("k"), task.Delay(time.Hour))
		taken := work.With(task.Unique("k"))
		member, err := r.arb.Group(t.Context(), []task.Bound{taken.Bind(args{1})}, arbiter.Finalizer(note(3), 0), arbiter.Finalizer(note(4), 0))
		if !errors.Is(err, task.ErrDuplicate) {
			t.Fatalf("error %v", err)
		}
		last, err := r.arb.Group(t.Context(), []task.Bound{work.Bind(args{1})}, arbiter.Finalizer(taken.Bind(args{1}), 0), arbiter.Finalizer(note(5), 0))
		if !errors.Is(err, task.ErrDuplicate) {
			t.Fatalf("error %v", err)
		}
		if _, err := r.arb.Squad(t.Context(), task.Calls(works(1)...), arbiter.Finalizer(note(6), 0), arbiter.Finalizer(note(7), 0)); !errors.Is(err, task.ErrNotEnoughWorkers) {
			t.Errorf("a squad without minions: %v", err)
		}
		j := r.flowCrew(1, echo)
		for what, g := range map[string]*arbiter.Group{"killed": g.Group, "a member": member, "a finalizer": last} {
			if err := r.ended(g); !errors.Is(err, task.ErrCanceled) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got := j.sorted(); !slices.Equal(got, []int{1, 2, 3, 4, 5}) || j.count("work") != 0 {
			t.Errorf("finalizers %v, %d members", got, j.count("work"))
		}
	})
}

// A second callback is refused, in whatever form it is given, with an error that names the remedy. The remedy works.
func TestSecondCallback(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, echo)
		_, err := r.arb.Group(t.Context(), task.Calls(works(1)...), arbiter.Callback(note(1)), arbiter.Callback(note(2)))
		_, _, then := arbiter.GroupThen(t.Context(), r.arb, works(1), sumStep(), arbiter.Callback(note(1)))
		_, squad := r.arb.Squad(t.Context(), task.Calls(works(1)...), arbiter.Callback(note(1)), arbiter.Callback(note(2)))
		for _, err := range []error{err, then, squad} {
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "second callback") || !strings.Contains(err.Error(), "task.All") {
				t.Errorf("error %v", err)
			}
		}
		both := task.Collect(noteTask.Bind(args{1}), noteTask.Bind(args{2}))
		g, err := r.arb.Group(t.Context(), task.Calls(works(1)...), arbiter.Callback(both))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(g); err != nil || !slices.Equal(j.sorted(), []int{1, 2}) {
			t.Errorf("%v ran, %v", j.sorted(), err)
		}
	})
}
