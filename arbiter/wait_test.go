package arbiter_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
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

func TestWaitForTasks(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(10, slow)
		seconds := []int{5, 2, 9, 1, 7, 3}
		var ids []task.ID
		for _, s := range seconds {
			ids = append(ids, r.send(s).ID())
		}
		unknown := broker.NewID(broker.KindTask, "default", 0)
		ids = append(ids, unknown, ids[0], ids[1]) // and duplicates
		began := time.Now()
		var order []int
		var missing int
		for st, err := range r.arb.WaitForTasks(t.Context(), ids...) {
			if err != nil {
				missing++
				if !errors.Is(err, task.ErrNotFound) || !strings.Contains(err.Error(), unknown.String()) || st.ID != unknown {
					t.Errorf("an unknown task: %v, %v", st.ID, err)
				}
				continue
			}
			var n int
			if err := st.Decode(&n); err != nil {
				t.Error(err)
			}
			r.near("a task of so many seconds", began, time.Duration(n)*time.Second, 0)
			if st.State != broker.StateSucceeded || st.Phase() != broker.PhaseDone || st.Queue != "default" || st.Name != "work" {
				t.Errorf("status: %+v", st)
			}
			order = append(order, n)
		}
		slices.Sort(seconds)
		if !slices.Equal(order, seconds) || missing != 1 {
			t.Errorf("order %v, %d missing", order, missing)
		}
		for st, err := range r.arb.WaitForTasks(t.Context()) {
			t.Errorf("something came of nothing: %v, %v", st, err)
		}
	})
}

// After a loop was left, another one yields the tasks that were not yielded.
func TestWaitForTasksBreak(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(20, echo)
		ids, err := r.arb.Apply(t.Context(), "work", arbiter.Args(1), arbiter.Count(100), arbiter.Options(task.Retention(0)))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		seen := map[task.ID]bool{}
		loop := r.arb.WaitForTasks(t.Context(), ids...)
		for range 10 {
			for st, err := range loop {
				if err != nil {
					// An earlier loop has yielded it, and its result is not kept.
					if !errors.Is(err, task.ErrNotFound) || !seen[st.ID] {
						t.Errorf("task %s: %v", st.ID, err)
					}
					continue
				}
				if st.State == broker.StateSucceeded && !seen[st.ID] {
					seen[st.ID] = true
					if len(seen)%10 == 0 {
						break
					}
				}
			}
		}
		if len(seen) != 100 {
			t.Errorf("%d tasks were seen, want 100", len(seen))
		}
	})
}

func TestWaitForTasksContext(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, slow)
		quick, late := r.send(1), r.send(1000)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		n, ends := 0, 0
		for st, err := range r.arb.WaitForTasks(ctx, quick.ID(), late.ID()) {
			if err != nil {
				ends++
				if !errors.Is(err, context.DeadlineExceeded) || !st.ID.IsZero() {
					t.Errorf("the end: %+v, %v", st, err)
				}
				continue
			}
			n++
		}
		r.near("the end", began, time.Minute, 0)
		if n != 1 || ends != 1 {
			t.Errorf("%d tasks and %d errors, want 1 and 1", n, ends)
		}
		if n, err := late.Result(t.Context()); n != 1000 || err != nil {
			t.Errorf("the wait after it: %d, %v", n, err)
		}
	})
}

func TestAwaitErrors(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, moody)
		unknown := broker.NewID(broker.KindTask, "default", 0)
		if err := r.arb.Await(t.Context(), unknown, nil); !errors.Is(err, task.ErrNotFound) || !strings.Contains(err.Error(), unknown.String()) {
			t.Errorf("an unknown task: %v", err)
		}
		var remote *task.RemoteError
		if _, err := r.send(0).Result(t.Context()); !errors.As(err, &remote) || remote.Task != "work" || remote.Message != "bad" {
			t.Errorf("a task that failed: %v", err)
		}
		fut := r.send(1)
		var s string
		if err := r.arb.Await(t.Context(), fut.ID(), &s); err == nil || !strings.Contains(err.Error(), "result") || !strings.Contains(err.Error(), "work") {
			t.Errorf("a result of another type: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.send(1, task.Delay(time.Hour)).Result(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ctx's end: %v", err)
		}

		// The task was sent from here, its push was lost, and its result isn't kept.
		r.b.Set(faulty.Hooks{Lose: func(broker.Notice) bool { return true }})
		gone := r.send(1, task.Retention(0))
		if err := r.arb.Await(t.Context(), gone.ID(), nil); !errors.Is(err, task.ErrNotFound) || !strings.Contains(err.Error(), "sent from here") {
			t.Errorf("a result that is not kept: %v", err)
		}
	})
}

// A result with a retention of 0 reaches all that ask the same future.
func TestResultOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(2, slow)
		for _, n := range []int{0, 5} {
			fut := r.send(n, task.Retention(0))
			if n == 0 {
				synctest.Wait()
			}
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if got, err := fut.Result(t.Context()); got != n || err != nil {
						t.Errorf("result: %d, %v", got, err)
					}
				})
			}
			wg.Wait()
		}
	})
}

// A task that another arbiter sent is looked up at least every two seconds.
func TestForeignTask(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, slow)
		fut := r.send(60)
		other := r.arbiter()
		began := time.Now()
		before := r.b.Calls(faulty.Lookup)
		if n, err := task.NewFuture[int](other, fut.ID()).Result(t.Context()); n != 60 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		r.near("the result", began, time.Minute, 2*time.Second)
		if n := r.b.Calls(faulty.Lookup) - before; n > 40 {
			t.Errorf("%d look-ups in a minute", n)
		}
		if n := r.b.Calls(faulty.Inbox); n != 1 {
			t.Errorf("%d inboxes were opened, want that of the one who sent something", n)
		}
	})
}

// Lost pushes delay a result by seconds, and the wait never hangs.
func TestHealing(t *testing.T) {
	for name, hooks := range map[string]faulty.Hooks{
		"lost": {Lose: func(broker.Notice) bool { return true }},
		"some": {Lose: func(broker.Notice) bool { return rand.IntN(2) == 0 }},
		"gap":  {Lose: func(broker.Notice) bool { return true }, Gap: func() bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.b.Set(hooks)
				r.crew(50, slow)
				began := time.Now()
				var futs []*task.Future[int]
				for range 200 {
					futs = append(futs, r.send(1))
				}
				for _, fut := range futs {
					if n, err := fut.Result(t.Context()); n != 1 || err != nil {
						t.Fatalf("result: %d, %v", n, err)
					}
				}
				most := 20 * time.Second
				if name == "gap" {
					most = 5 * time.Second
				}
				r.near("all results", began, 4*time.Second, most)
			})
		})
	}
}

// If look-ups fail for a while, the wait goes on and gets the result in the end.
func TestAwaitThroughOutage(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var down atomic.Bool
		down.Store(true)
		r.crew(1, echo)
		fut := r.send(3, task.Retention(24*time.Hour))
		synctest.Wait()
		other := r.arbiter()
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Lookup && down.Load() {
				return faulty.ErrUnavailable
			}
			return nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := task.NewFuture[int](other, fut.ID()).Result(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("result in an outage: %v", err)
		}
		time.AfterFunc(time.Hour, func() { down.Store(false) })
		began := time.Now()
		if n, err := task.NewFuture[int](other, fut.ID()).Result(t.Context()); n != 3 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		r.near("the result", began, time.Hour, 3*time.Second)
		if n := r.b.Calls(faulty.Lookup); n < 1800 || n > 5000 {
			t.Errorf("%d look-ups in an hour", n)
		}
	})
}

// While nobody waits, no request is sent, and no goroutine is left running.
func TestIdle(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		fut := r.send(1)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, _ = fut.Result(ctx)
		before := r.b.Total()
		time.Sleep(24 * time.Hour)
		if n := r.b.Total() - before; n != 0 {
			t.Errorf("%d requests while nobody waits", n)
		}
		// A long wait for a task of one's own.
		wait, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		_, _ = fut.Result(wait)
		if n := r.b.Total() - before; n > 260 { // a look-up every 30 s, and once a minute the minions and another look-up
			t.Errorf("%d requests in an hour of waiting", n)
		}
	})
}
