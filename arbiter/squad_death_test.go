package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/internal/faulty"
	"github.com/go-arbiter/arbiter/task"
)

// doomed returns an arbiter that dies with its n-th request to the broker: none
// that comes after has any effect, and that one has one only if late is set.
func (r *rig) doomed(n int64, late bool) (*arbiter.Arbiter, *atomic.Int64) {
	r.Helper()
	b := faulty.New(r.b)
	var count atomic.Int64
	b.Set(faulty.Hooks{
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
	})
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = arb.Close() })
	return arb, &count
}

// The arbiter dies with each of its requests, before it or after. The squad runs
// as a whole or not at all, nothing is left of it, and its slots are free soon.
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
				g, err := arb.Squad(ctx, task.Calls(works(1, 1, 1)...), arbiter.Callback(note(7)), arbiter.Finalizer(note(8), 0))
				over = err == nil && count.Load() < n
				name := fmt.Sprintf("request %d, after it: %v, %v", n, late, err)
				time.Sleep(8 * time.Second)
				s.mu.Lock()
				starts := len(s.starts)
				s.mu.Unlock()
				r.squad(works(1, 1, 1, 1)) // all slots are free
				time.Sleep(time.Minute)
				notes := append(one.noted(), two.noted()...)
				wanted := 0
				if starts > 0 {
					wanted = 2
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
				case err != nil || st.State != "done":
					// One whose members were never stored is nobody's: it has no task.
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
