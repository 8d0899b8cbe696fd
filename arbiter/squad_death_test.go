package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

// doomed returns an arbiter that dies with its n-th request to the broker. That request has an effect only if late is set, and
// later requests have none.
func (r *rig) doomed(n int64, late bool) (*arbiter.Arbiter, *atomic.Int64) {
	r.Helper()
	b := faulty.New(r.b)
	var count atomic.Int64
	b.Set(deadly(&count, n, late))
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = arb.Close() })
	return arb, &count
}

// deadly returns the faults of a broker for a process that dies with its n-th request.
func deadly(count *atomic.Int64, n int64, late bool) faulty.Hooks {
	return faulty.Hooks{
		Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Receive {
				return nil
			}
			if at := count.Add(1); at > n || at == n && !late {
				return faulty.ErrUnavailable
			}
			return nil
		},
		After: func(op faulty.Op, _ int) error {
			if op != faulty.Receive && count.Load() >= n {
				return faulty.ErrLostReply
			}
			return nil
		},
	}
}

// The arbiter dies at each of its requests, before or after it. The squad runs as a whole or not at all, no task of it is left
// over, and its slots are free soon.
func TestSquadArbiterDies(t *testing.T) {
	ran := map[bool]int{}
	for _, late := range []bool{false, true} {
		for n := int64(1); ; n++ {
			over := false
			bubble(t, func(t *testing.T, r *rig) {
				var s span
				one, two := r.flowCrew(2, s.during), r.flowCrew(2, s.during)
				time.Sleep(time.Second)
				arb, count := r.doomed(n, late)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				g, err := arb.Squad(ctx, task.Calls(works(1, 1, 1)...), arbiter.Callback(note(7)),
					arbiter.Finalizer(note(8), 0), arbiter.Finalizer(note(9), 0))
				over = err == nil && count.Load() < n
				name := fmt.Sprintf("request %d, after it: %v, %v", n, late, err)
				time.Sleep(8 * time.Second)
				starts := s.count()
				r.squad(works(1, 1, 1, 1)) // all slots are free
				time.Sleep(time.Minute)
				notes := append(one.noted(), two.noted()...)
				wanted := 0
				if starts > 0 {
					wanted = 3
				}
				ran[starts > 0]++
				if starts != 0 && starts != 3 || len(notes) != wanted {
					t.Errorf("%s: %d members have started, notes %v", name, starts, notes)
				}
				if starts == 0 && err == nil {
					t.Errorf("%s: it never started", name)
				}
				if g == nil {
					return
				}
				switch st, err := r.arb.Status(t.Context(), g.ID()); {
				case errors.Is(err, task.ErrNotFound):
				case err != nil || !st.State.Final():
					// If no member was ever stored, the stored group has no task and stays as it is.
					found, _ := r.arb.Status(t.Context(), st.ID)
					if found.Flow == nil || stored(r, g.ID()) {
						t.Errorf("%s: it is %+v, %v", name, st, err)
					}
				}
			})
			if over || t.Failed() {
				break
			}
		}
	}
	t.Logf("started in %d cases, not in %d", ran[true], ran[false])
}

// stored reports whether a member of a group is stored.
func stored(r *rig, id task.ID) bool {
	r.Helper()
	g, err := r.arb.FindGroup(r.Context(), id)
	if err != nil {
		r.Fatal(err)
	}
	ids, err := g.Members(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	for _, id := range ids {
		if _, err := r.arb.Status(r.Context(), id); !errors.Is(err, task.ErrNotFound) {
			return true
		}
	}
	return false
}

// A minion dies at each of its requests while a squad starts. Either the squad does not start, or it runs to its end, and the
// lost members run again elsewhere.
func TestSquadMinionDies(t *testing.T) {
	ran := map[bool]int{}
	for _, late := range []bool{false, true} {
		for n := int64(1); n < 40; n++ {
			bubble(t, func(t *testing.T, r *rig) {
				var s span
				r.flowCrew(4, s.during)
				b := faulty.New(r.b)
				var count atomic.Int64
				dead := &rig{T: t, b: b, arb: r.arb}
				dead.flowCrew(2, s.during)
				time.Sleep(time.Second)
				b.Set(deadly(&count, n, late))
				g, err := r.arb.Squad(t.Context(), task.Calls(works(3, 3, 3, 3, 3)...))
				ran[err == nil]++
				name := fmt.Sprintf("request %d, after it: %v, %v", n, late, err)
				if err == nil {
					if err := r.ended(g); err != nil {
						t.Errorf("%s: it ends with %v", name, err)
					}
				}
				time.Sleep(2 * time.Minute)
				starts := s.count()
				if err == nil && starts < 5 || err != nil && starts > 0 {
					t.Errorf("%s: %d members have started", name, starts)
				}
				r.squad(works(1, 1, 1, 1))
			})
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("started in %d cases, not in %d", ran[true], ran[false])
}

// Posts between arbiter and minions are lost. Squads start as a whole or not at all, and no slot stays reserved.
func TestSquadPostsLost(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var s span
		r.flowCrew(2, s.during)
		r.flowCrew(2, s.during)
		time.Sleep(time.Second)
		rnd := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			mu.Lock()
			defer mu.Unlock()
			if op == faulty.Post && rnd.IntN(20) == 0 {
				return faulty.ErrUnavailable
			}
			return nil
		}})
		ran, short := 0, 0
		for range 100 {
			before := s.count()
			_, err := r.arb.Squad(t.Context(), task.Calls(works(1, 1, 1)...))
			time.Sleep(time.Minute)
			switch got := s.count() - before; {
			case err == nil && got == 3:
				ran++
			case errors.Is(err, task.ErrNotEnoughWorkers) && got == 0:
				short++
			default:
				t.Fatalf("%v, and %d members have started", err, got)
			}
		}
		r.b.Set(faulty.Hooks{})
		r.squad(works(1, 1, 1, 1))
		t.Logf("%d squads ran, %d found too few workers", ran, short)
		if ran == 0 || short == 0 {
			t.Error("all squads ended in the same way, so the test shows nothing")
		}
	})
}
