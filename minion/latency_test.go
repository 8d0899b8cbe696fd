package minion_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// far is a broker whose requests and replies each need the time d. Registering a consumer
// takes as many round trips as with Redis.
func far(d time.Duration) faulty.Hooks {
	return faulty.Hooks{
		Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Consume {
				time.Sleep(8 * d)
			}
			time.Sleep(d)
			return nil
		},
		After: func(op faulty.Op, _ int) error {
			if op == faulty.Consume {
				time.Sleep(4 * d)
			}
			time.Sleep(d)
			return nil
		},
	}
}

// A minion works over any connection whose heartbeats can keep the lease.
func TestLatency(t *testing.T) {
	for _, tc := range []struct {
		name         string
		lease, delay time.Duration
	}{
		{"1s,100ms", time.Second, 100 * time.Millisecond},
		{"default,1.5s", memory.DefaultLease, 1500 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.b.Set(far(tc.delay))
				c := r.crew(2, func(ctx context.Context, a args) (int, error) {
					if a.N == 1 {
						time.Sleep(5 * tc.lease)
					}
					return a.N, ctx.Err()
				})
				began := time.Now()
				sent := []*task.Future[int]{r.send(0), r.send(1)}
				ctx, cancel := context.WithTimeout(context.Background(), 20*tc.lease)
				defer cancel()
				for n, f := range sent {
					if got, err := f.Result(ctx); got != n || err != nil {
						t.Fatalf("task %d: %d, %v after %v\n%s", n, got, err, time.Since(began), r.logs)
					}
					if st := r.status(f.ID()); st.Attempts != 1 {
						t.Errorf("task %d was attempted %d times\n%s", n, st.Attempts, r.logs)
					}
				}
				synctest.Wait()
				_ = c.stop()
			}, memory.Lease(tc.lease))
		})
	}
}

// A minion takes no task under a lease that can't be kept over its connection, and logs
// once how long the lease must be. The tasks wait: if they were handed out, each would
// come back with a death.
func TestLeaseTooShort(t *testing.T) {
	const delay = 300 * time.Millisecond
	for _, tc := range []struct {
		lease time.Duration
		works bool
	}{{time.Second, false}, {1800 * time.Millisecond, false}, {1900 * time.Millisecond, true}} {
		t.Run(tc.lease.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.b.Set(far(delay))
				r.crew(1, func(ctx context.Context, a args) (int, error) {
					time.Sleep(10 * time.Second)
					return a.N, ctx.Err()
				})
				fut := r.send(1)
				time.Sleep(time.Minute)
				line := `msg="the lease is too short for the connection to the broker; no task is taken until the lease is longer or the connection faster" lease=` +
					tc.lease.String() + " answer=600ms want=1.9s"
				switch st := r.status(fut.ID()); {
				case tc.works:
					if st.State != broker.StateSucceeded || st.Attempts != 1 || r.logs.count("too short") != 0 {
						t.Errorf("with a lease that is said to work the task is %s after attempt %d\n%s", st.State, st.Attempts, r.logs)
					}
					return
				case st.State != broker.StatePending || st.Attempts != 0:
					t.Errorf("the task is %s after attempt %d, want it to wait", st.State, st.Attempts)
				}
				if n := r.logs.count(line); n != 1 || r.logs.count("lease lost") != 0 {
					t.Errorf("want one line %s\n%s", line, r.logs)
				}
				r.b.Set(faulty.Hooks{}) // the connection is fast again
				r.want(fut, broker.StateSucceeded, 1, 0)
			}, memory.Lease(tc.lease))
		})
	}
}

// A handler is told to stop before the broker can hand its task out again, however slow
// and uneven the connection is.
func TestLeaseIsNeverOverrated(t *testing.T) {
	const lease = 2 * time.Second
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T, r *rig) {
			var mu sync.Mutex
			rnd := rand.New(rand.NewPCG(seed, 1))
			late := func() {
				mu.Lock()
				d := time.Duration(rnd.Int64N(int64(lease) * 2 / 5))
				mu.Unlock()
				time.Sleep(d)
			}
			r.b.Set(faulty.Hooks{
				Before: func(context.Context, faulty.Op, int) error { late(); return nil },
				After:  func(faulty.Op, int) error { late(); return nil },
			})
			runs := make(map[int]context.Context)
			handler := func(ctx context.Context, a args) (int, error) {
				mu.Lock()
				before := runs[a.N]
				runs[a.N] = ctx
				mu.Unlock()
				if before != nil && before.Err() == nil {
					t.Errorf("seed %d: task %d was started while another attempt was not told to stop", seed, a.N)
				}
				select {
				case <-time.After(2 * lease):
				case <-ctx.Done():
				}
				return a.N, ctx.Err()
			}
			for range 3 {
				r.crew(2, handler, minion.MaxRecoveries(255))
			}
			for n := range 6 {
				r.send(n)
			}
			time.Sleep(time.Minute)
		}, memory.Lease(lease))
	}
}

// Attempts that end while a minion stops are settled, and the minion closes its consumer,
// even if a request takes 3 s and a settlement is under way when the next one comes.
func TestStopOverSlowConnection(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.crew(2, func(ctx context.Context, a args) (int, error) {
			<-ctx.Done()
			time.Sleep(1100*time.Millisecond + time.Duration(a.N)*400*time.Millisecond)
			return a.N, nil
		}, minion.DrainTimeout(time.Second))
		// like a real broker, a request returns when its context ends
		r.b.Set(faulty.Hooks{Before: func(ctx context.Context, _ faulty.Op, _ int) error {
			select {
			case <-time.After(3 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		one, two := r.send(1), r.send(2)
		time.Sleep(time.Minute)
		if err := c.stop(); err != nil {
			t.Errorf("run: %v\n%s", err, r.logs)
		}
		r.b.Set(faulty.Hooks{})
		r.want(one, broker.StateSucceeded, 1, 0)
		r.want(two, broker.StateSucceeded, 1, 0)
		if minions, _ := r.arb.Minions(t.Context()); len(minions) != 0 {
			t.Errorf("still registered: %+v", minions)
		}
		if n := r.logs.count("could not close the consumer"); n > 0 {
			t.Errorf("%s", r.logs)
		}
	})
}
