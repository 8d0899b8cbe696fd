package arbiter_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

// Close is called at each of the requests of a squad. When both have returned, the squad has started, or it never does: then it
// is cancelled and its slots are free.
func TestSquadClose(t *testing.T) {
	came := map[bool]int{}
	for n, more := int64(1), true; more; n++ {
		bubble(t, func(t *testing.T, r *rig) {
			var s span
			r.flowCrew(2, s.during)
			r.flowCrew(2, s.during)
			time.Sleep(time.Second)
			b := faulty.New(r.b)
			arb, err := arbiter.New(b, arbiter.Logger(silent))
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			var count atomic.Int64
			b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
				if op != faulty.Receive && count.Add(1) == n {
					wg.Go(func() { _ = arb.Close() })
					time.Sleep(time.Millisecond) // until the squad waits
				}
				return nil
			}})
			began := time.Now()
			g, err := arb.Squad(t.Context(), task.Calls(works(1, 1, 1)...))
			wg.Wait()
			if took := time.Since(began); took > time.Second {
				t.Errorf("closed at request %d it took %v", n, took)
			}
			more = count.Load() >= n
			came[err == nil]++
			synctest.Wait()
			if err == nil {
				s.started(t, 3)
				time.Sleep(time.Minute)
				_ = arb.Close()
				return
			}
			if !errors.Is(err, task.ErrClosed) || errors.Is(err, task.ErrIndeterminate) {
				t.Errorf("closed at request %d: %v", n, err)
			}
			if g != nil {
				p, err := r.b.LookupFlow(t.Context(), g.ID())
				if !errors.Is(err, broker.ErrNotFound) && (err != nil || p.Outcome == nil || p.Outcome.State != broker.StateCanceled) {
					t.Errorf("closed at request %d, the squad is still stored: %+v, %v", n, p, err)
				}
			}
			r.squad(works(1, 1, 1, 1)) // all slots are free
			time.Sleep(time.Minute)
			s.started(t, 4)
		})
	}
	if came[true] == 0 || came[false] < 5 {
		t.Errorf("started %d times, refused %d times", came[true], came[false])
	}
}

func TestSquadCloseWhileItWaits(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(2, slow)
		time.Sleep(time.Second)
		time.AfterFunc(5*time.Second, func() { _ = r.arb.Close() })
		began := time.Now()
		_, err := r.arb.Squad(t.Context(), task.Calls(works(1, 1, 1)...), arbiter.WaitForWorkers(time.Hour))
		if !errors.Is(err, task.ErrClosed) {
			t.Errorf("squad: %v", err)
		}
		r.near("the squad is refused", began, 5*time.Second, 0)
	})
}
