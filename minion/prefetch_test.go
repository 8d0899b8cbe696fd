package minion_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

const quick = 100 * time.Microsecond

// sendAll sends n tasks, numbered from 0, in order.
func (r *rig) sendAll(n int, opts ...task.Option) []*task.Future[int] {
	r.Helper()
	calls := make([]task.Call[int], n)
	for i := range calls {
		calls[i] = work.With(opts...).Bind(args{i})
	}
	futs, err := task.SendAll(context.Background(), r.arb, calls...)
	if err != nil {
		r.Fatal(err)
	}
	return futs
}

func (r *rig) queue() broker.QueueInfo {
	r.Helper()
	infos, err := r.b.Broker.(broker.Inspector).Queues(context.Background())
	if err != nil || len(infos) != 1 {
		r.Fatalf("queues: %v, %v", infos, err)
	}
	return infos[0]
}

// order records which tasks ran, in order.
type order struct {
	mu   sync.Mutex
	nums []int
}

func (o *order) add(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nums = append(o.nums, n)
}

// Short tasks are prefetched: a request brings many, but no more than the slots finish in
// about two milliseconds.
func TestPrefetch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const slots, n = 2, 1000
		futs := r.sendAll(n)
		var mu sync.Mutex
		most := 0
		r.crew(slots, func(_ context.Context, a args) (int, error) {
			mu.Lock()
			most = max(most, r.queue().Running)
			mu.Unlock()
			time.Sleep(quick)
			return a.N, nil
		})
		for i, fut := range futs {
			if got, err := r.result(fut); got != i || err != nil {
				t.Fatalf("result: %d, %v", got, err)
			}
		}
		pace := slots * int(2*time.Millisecond/quick)
		limit := slots + pace + 2*slots // some tasks are being settled
		if most > limit || most <= slots {
			t.Errorf("%d tasks were taken at once, want more than %d and at most %d", most, slots, limit)
		}
		if calls := r.b.Calls(faulty.Dequeue); calls > n/5 {
			t.Errorf("%d tasks took %d requests", n, calls)
		}
	})
}

// If requests take long, more tasks are prefetched, so that slots do not wait for requests.
func TestPrefetchOverSlowConnection(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const slots, n, trip = 10, 5000, 10 * time.Millisecond
		futs := r.sendAll(n)
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Dequeue || op == faulty.Settle {
				time.Sleep(trip)
			}
			return nil
		}})
		began := time.Now()
		r.crew(slots, func(_ context.Context, a args) (int, error) {
			time.Sleep(quick)
			return a.N, nil
		})
		for _, fut := range futs {
			if _, err := r.result(fut); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > n/slots*trip/4 {
			t.Errorf("%d tasks took %v, more than a quarter of a request for each set of slots", n, took)
		}
	})
}

// Long tasks are not taken before a slot is free.
func TestLongTasksAreNotPrefetched(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		futs := r.sendAll(20)
		most := 0
		r.crew(1, func(_ context.Context, a args) (int, error) {
			time.Sleep(2 * time.Millisecond)
			most = max(most, r.queue().Running)
			return a.N, nil
		})
		for _, fut := range futs {
			_, _ = r.result(fut)
		}
		if most != 1 {
			t.Errorf("%d tasks were taken at once for one slot", most)
		}
	})
}

// slowAfter returns a handler that is quick, except for the task with the given number.
func (o *order) slowAfter(number int, long time.Duration) func(context.Context, args) (int, error) {
	return func(_ context.Context, a args) (int, error) {
		o.add(a.N)
		if a.N == number {
			time.Sleep(long)
		} else {
			time.Sleep(quick)
		}
		return a.N, nil
	}
}

// until waits until task n has started.
func (o *order) until(n int) {
	for {
		o.mu.Lock()
		l := len(o.nums)
		started := l > 0 && o.nums[l-1] == n
		o.mu.Unlock()
		if started {
			return
		}
		time.Sleep(quick / 2)
	}
}

// Prefetched tasks that can't start in time go back to their queue in order, and another
// minion runs them.
func TestGiveBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const slow, n = 100, 130
		futs := r.sendAll(n)
		var mine, other order
		r.crew(1, mine.slowAfter(slow, time.Second))
		mine.until(slow)
		if held := r.queue().Running - 1; held < 1 || held > 22 {
			t.Errorf("%d tasks wait for the slot", held)
		}
		time.Sleep(50 * time.Millisecond)
		if q := r.queue(); q.Running != 1 || q.Pending != n-slow-1 {
			t.Errorf("%d are running and %d pending, want 1 and %d", q.Running, q.Pending, n-slow-1)
		}
		began := time.Now()
		r.crew(1, other.slowAfter(-1, 0))
		for i, fut := range futs[slow+1:] {
			if got, err := r.result(fut); got != slow+1+i || err != nil {
				t.Errorf("result: %d, %v", got, err)
			}
			if st := r.status(fut.ID()); st.Retried != 0 {
				t.Errorf("giving the task back was counted as a retry: %+v", st)
			}
			r.want(fut, broker.StateSucceeded, 1, 0)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the other minion took %v", took)
		}
		for i, got := range other.nums {
			if got != slow+1+i {
				t.Fatalf("the other minion ran %v", other.nums)
			}
		}
		r.want(futs[slow], broker.StateSucceeded, 1, 0)
		if len(mine.nums) != slow+1 {
			t.Errorf("the first minion ran %d tasks", len(mine.nums))
		}
	})
}

// A prefetched task that is killed or expires does not start.
func TestKillPrefetched(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const slow = 100
		futs := r.sendAll(slow+10, task.Within(time.Second))
		var o order
		r.crew(1, o.slowAfter(slow, 5*time.Millisecond))
		o.until(slow)
		if held := r.queue().Running - 1; held < 3 {
			t.Fatalf("%d tasks wait for the slot", held)
		}
		if _, err := r.arb.Kill(t.Context(), futs[slow+2].ID()); err != nil {
			t.Fatal(err)
		}
		for i, fut := range futs {
			switch _, err := r.result(fut); {
			case i == slow+2:
				r.want(fut, broker.StateCanceled, 0, 0) // it never started
			case err != nil:
				t.Errorf("task %d: %v", i, err)
			}
		}
		for _, n := range o.nums {
			if n == slow+2 {
				t.Error("the killed task ran")
			}
		}
	})
}

// A minion that stops gives back at once the tasks that have not started.
func TestStopPrefetched(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const slow, n = 100, 130
		futs := r.sendAll(n)
		var o order
		c := r.crew(1, o.slowAfter(slow, 5*time.Millisecond))
		o.until(slow)
		if err := c.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		if q := r.queue(); q.Running != 0 || q.Pending != n-slow-1 {
			t.Errorf("%d are running and %d pending, want 0 and %d", q.Running, q.Pending, n-slow-1)
		}
		r.want(futs[slow], broker.StateSucceeded, 1, 0)
		synctest.Wait()
		if len(o.nums) != slow+1 {
			t.Errorf("%d tasks ran, want %d", len(o.nums), slow+1)
		}
	})
}

// Handlers that wait for each other all get the slots that they need.
func TestAllSlotsStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const slots = 50
		var started sync.WaitGroup
		started.Add(slots)
		r.crew(slots, func(_ context.Context, a args) (int, error) {
			started.Done()
			started.Wait()
			return a.N, nil
		})
		for range 3 {
			for i, fut := range r.sendAll(slots) {
				if got, err := r.result(fut); got != i || err != nil {
					t.Fatalf("result: %d, %v", got, err)
				}
			}
			started.Add(slots)
		}
	})
}

// A handler that ends its goroutine frees its slot, also while other tasks wait for one.
func TestGoexitWithPrefetched(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(2, func(_ context.Context, a args) (int, error) {
			time.Sleep(quick)
			if a.N%10 == 9 {
				runtime.Goexit()
			}
			return a.N, nil
		}, minion.Retry(0, nil))
		for i, fut := range r.sendAll(300) {
			switch _, err := r.result(fut); {
			case i%10 == 9 && !errors.Is(err, task.ErrPanic):
				t.Errorf("the error of a Goexit is %v", err)
			case i%10 != 9 && err != nil:
				t.Errorf("task %d: %v", i, err)
			}
		}
	})
}

// The first run of a task is attempt 1, however often the task was prefetched and given
// back. A failure reports the same number.
func TestFirstRunIsAttemptOne(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const n, every = 600, 100
		futs := r.sendAll(n, task.Retries(0))
		for range 2 {
			r.crew(1, func(ctx context.Context, a args) (int, error) {
				if info, _ := task.FromContext(ctx); info.Attempt != 1 {
					t.Errorf("task %d: attempt %d", a.N, info.Attempt)
				}
				if time.Sleep(quick); a.N%every == every-1 {
					time.Sleep(time.Second) // the tasks behind this one go back
				}
				return 0, errBad
			})
		}
		for _, fut := range futs {
			_, err := r.result(fut)
			var failed *task.RemoteError
			if !errors.As(err, &failed) || failed.Attempts != 1 {
				t.Fatalf("%v after %+v, want a failure after one attempt", err, failed)
			}
		}
		if given := r.b.Items(faulty.Settle) - n; given == 0 {
			t.Error("nothing was given back")
		}
	})
}
