package arbiter_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// span records when handlers run.
type span struct {
	mu            sync.Mutex
	running, most int
	starts        []time.Time
}

// during is a handler that runs as many seconds as its argument.
func (s *span) during(ctx context.Context, a args) (int, error) {
	s.mu.Lock()
	s.running++
	s.most = max(s.most, s.running)
	s.starts = append(s.starts, time.Now())
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}()
	return slow(ctx, a)
}

// count returns how many handlers have started.
func (s *span) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.starts)
}

// started checks that n members have started, all at about the same time.
func (s *span) started(t *testing.T, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.starts) != n {
		t.Fatalf("%d members have started, want %d", len(s.starts), n)
	}
	if n > 0 {
		if apart := slices.MaxFunc(s.starts, time.Time.Compare).Sub(slices.MinFunc(s.starts, time.Time.Compare)); apart > 100*time.Millisecond {
			t.Errorf("they started %v apart", apart)
		}
	}
}

func (r *rig) squad(calls []task.Call[int], opts ...arbiter.SquadOption) *arbiter.Group {
	r.Helper()
	g, err := r.arb.Squad(r.Context(), task.Calls(calls...), opts...)
	if err != nil {
		r.Fatal(err)
	}
	return g
}

// short checks that a squad is refused with these numbers.
func (r *rig) short(calls []task.Call[int], want []arbiter.WorkersWanted, opts ...arbiter.SquadOption) {
	r.Helper()
	g, err := r.arb.Squad(r.Context(), task.Calls(calls...), opts...)
	var short *arbiter.NotEnoughWorkersError
	if g != nil || !errors.Is(err, task.ErrNotEnoughWorkers) || !errors.As(err, &short) {
		r.Fatalf("%v, %v", g, err)
	}
	if !slices.Equal(short.Queues, want) {
		r.Errorf("%v, want %+v", err, want)
	}
}

// As arbiter.squad(tasks) in the original: a group that starts together.
func TestSquad(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s span
		r.flowCrew(2, s.during)
		r.flowCrew(2, s.during)
		time.Sleep(time.Second)
		g := r.squad(works(2, 3, 4))
		time.Sleep(10 * time.Millisecond)
		s.started(t, 3)
		var results []int
		if err := g.Result(t.Context(), &results); err != nil || !slices.Equal(results, []int{2, 3, 4}) {
			t.Errorf("%v, %v", results, err)
		}
		_, f := r.flowOf(g.ID())
		if f.Done != 3 {
			t.Errorf("%+v", f)
		}
		r.squad(works(1, 1, 1, 1)) // all slots are free again
	})
}

func TestSquadWithCallback(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s span
		j := r.flowCrew(3, s.during)
		time.Sleep(time.Second)
		g := r.squad(works(1, 2, 3), arbiter.Callback(note(7)))
		if err := r.ended(g); err != nil {
			t.Error(err)
		}
		s.started(t, 3)
		if got := j.noted(); !slices.Equal(got, []int{7}) {
			t.Errorf("notes %v", got)
		}
	})
}

func TestSquadWithCallbackAndFinalizer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s span
		j := r.flowCrew(3, s.during)
		time.Sleep(time.Second)
		g := r.squad(works(1, 2, 3), arbiter.Callback(note(7)), arbiter.Finalizer(note(8), time.Hour))
		if err := r.ended(g); err != nil {
			t.Error(err)
		}
		s.started(t, 3)
		if got := j.noted(); !slices.Equal(got, []int{7, 8}) {
			t.Errorf("notes %v", got)
		}
	})
}

func TestKillSquad(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s span
		j := r.flowCrew(3, s.during)
		time.Sleep(time.Second)
		g := r.squad(works(1000, 1000, 1000), arbiter.Callback(note(7)), arbiter.Finalizer(note(8), 0))
		time.Sleep(time.Second)
		killed, err := r.arb.KillGroup(t.Context(), g.ID(), arbiter.Wait())
		want := []arbiter.Verdict{arbiter.NeverStarted, arbiter.Stopped, arbiter.Stopped, arbiter.Stopped} // the callback first
		if got := verdicts(killed); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
		if err := r.ended(g); !errors.Is(err, task.ErrCanceled) {
			t.Errorf("error %v", err)
		}
		if got := j.noted(); !slices.Equal(got, []int{8}) {
			t.Errorf("notes %v", got)
		}
	})
}

// If too few slots are free, nothing starts, and the error with the numbers is returned at once. A minion of two queues has its
// slots only once.
func TestSquadTooLarge(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.short(works(1), []arbiter.WorkersWanted{{Queue: "default", Wanted: 1}}) // there is no minion
		var s span
		j := r.flowCrew(3, s.during)
		time.Sleep(time.Second)
		r.send(100)
		time.Sleep(time.Second)
		r.flowCrew(4, s.during, minion.Queues("default", "heavy"))
		time.Sleep(time.Second)
		calls := works(1, 1, 1)
		for range 4 {
			calls = append(calls, work.With(task.Queue("heavy")).Bind(args{1}))
		}
		began := time.Now()
		r.short(calls, []arbiter.WorkersWanted{
			{Queue: "default", Wanted: 3, Available: 6, Total: 7}, {Queue: "heavy", Wanted: 4, Available: 4, Total: 4},
		}, arbiter.Callback(note(1)), arbiter.Finalizer(note(2), 0))
		r.near("the error", began, 0, 50*time.Millisecond)
		time.Sleep(2 * time.Minute)
		s.started(t, 1)
		if len(j.noted()) > 0 {
			t.Errorf("notes %v", j.noted())
		}
		r.squad(calls) // now there are enough
	})
}

// If two squads want the same slots, one gets them and the other an error.
func TestTwoSquads(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s span
		r.flowCrew(2, s.during)
		r.flowCrew(2, s.during)
		time.Sleep(time.Second)
		for round := range 20 {
			arbs := []*arbiter.Arbiter{r.arb, r.arbiter(), r.arbiter()}
			errs := make([]error, len(arbs))
			var wg sync.WaitGroup
			for i, arb := range arbs {
				wg.Go(func() {
					_, errs[i] = arb.Squad(t.Context(), task.Calls(works(2, 2, 2)...))
				})
			}
			wg.Wait()
			ok := 0
			for _, err := range errs {
				switch {
				case err == nil:
					ok++
				case !errors.Is(err, task.ErrNotEnoughWorkers):
					t.Error(err)
				}
			}
			if ok != 1 {
				t.Fatalf("round %d: %d squads have started: %v", round, ok, errs)
			}
			time.Sleep(time.Minute)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.most != 3 {
			t.Errorf("%d members ran at once", s.most)
		}
	})
}

// A squad that waits starts when enough slots are free, and not before.
func TestSquadWaits(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s span
		r.flowCrew(2, s.during)
		r.flowCrew(2, s.during)
		time.Sleep(time.Second)
		for _, n := range []int{5, 10, 20, 30} {
			r.send(n)
		}
		time.Sleep(time.Second)
		began := time.Now()
		r.short(works(1, 1, 1), []arbiter.WorkersWanted{{Queue: "default", Wanted: 3, Available: 1, Total: 4}}, arbiter.WaitForWorkers(8*time.Second))
		r.near("the error", began, 8*time.Second, 100*time.Millisecond)
		r.squad(works(1, 1, 1), arbiter.WaitForWorkers(time.Hour))
		r.near("the start", began, 19*time.Second, 100*time.Millisecond)
		time.Sleep(time.Minute)
		began = time.Now()
		go func() {
			time.Sleep(10 * time.Second)
			r.flowCrew(3, s.during)
		}()
		r.squad(works(1, 1, 1, 1, 1, 1), arbiter.WaitForWorkers(time.Hour))
		r.near("the start with a new minion", began, 10*time.Second, 3*time.Second)
		if _, err := r.arb.Squad(t.Context(), nil, arbiter.WaitForWorkers(-1)); !errors.Is(err, task.ErrInvalid) {
			t.Error(err)
		}
	})
}

// The callback of a typed squad gets the members' results.
func TestSquadThen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(3, slow)
		time.Sleep(time.Second)
		g, total, err := arbiter.SquadThen(t.Context(), r.arb, works(1, 2, 3), sumStep())
		if err != nil {
			t.Fatal(err)
		}
		if sum, err := await(t, total); sum != 6 || err != nil {
			t.Errorf("%d, %v", sum, err)
		}
		if results, err := g.Results(t.Context()); !slices.Equal(results, []int{1, 2, 3}) || err != nil {
			t.Errorf("%v, %v", results, err)
		}
		if _, _, err := arbiter.SquadThen(t.Context(), r.arb, works(1, 2, 3, 4), sumStep()); !errors.Is(err, task.ErrNotEnoughWorkers) {
			t.Error(err)
		}
	})
}

// Calls that can't be a squad are refused before any slot is reserved.
func TestSquadInvalid(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(2, echo)
		for name, calls := range map[string][]task.Bound{
			"a nil member": {nil},
			"a pipe":       {work.Bind(args{1}), task.Then(work.Bind(args{1}), plus(1))},
			"a delay":      {work.With(task.Delay(time.Second)).Bind(args{1})},
			"too many":     make([]task.Bound, 1001),
		} {
			if name == "too many" {
				for i := range calls {
					calls[i] = work.Bind(args{1})
				}
			}
			if _, err := r.arb.Squad(t.Context(), calls); !errors.Is(err, task.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A member that is retried runs again alone.
func TestSquadRetry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var mu sync.Mutex
		tries := 0
		r.flowCrew(2, func(_ context.Context, a args) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			if tries++; tries == 1 {
				return 0, errBad
			}
			return a.N, nil
		})
		time.Sleep(time.Second)
		err := r.ended(r.squad(works(1, 2)))
		mu.Lock()
		defer mu.Unlock()
		if err != nil || tries != 3 {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}

// A member that no minion knows keeps the squad from starting, and the error says so.
func TestSquadUnknownTask(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(3, slow)
		time.Sleep(time.Second)
		calls := append(task.Calls(works(1, 1)...), arbiter.Named("nobody.knows"))
		_, err := r.arb.Squad(t.Context(), calls)
		if !errors.Is(err, task.ErrNotEnoughWorkers) || !strings.Contains(err.Error(), "no living minion serves it and knows its tasks") {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := j.count("work"); n > 0 {
			t.Errorf("%d members ran", n)
		}
		r.squad(works(1, 1, 1))
	})
}
