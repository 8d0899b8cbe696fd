package minion_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// When the minion is stopped, running tasks may finish and waiting tasks stay in the queue.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.crew(2, func(_ context.Context, a args) (int, error) {
			time.Sleep(10 * time.Second)
			return a.N, nil
		})
		one, two, three := r.send(1), r.send(2), r.send(3)
		time.Sleep(time.Second)
		began := time.Now()
		if err := c.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		r.near("the end of Run", time.Since(began), 9*time.Second)
		r.want(one, broker.StateSucceeded, 1, 0)
		r.want(two, broker.StateSucceeded, 1, 0)
		if st := r.status(three.ID()); st.State != broker.StatePending {
			t.Errorf("the third task is %s", st.State)
		}
		if minions, _ := r.arb.Minions(t.Context()); len(minions) != 0 {
			t.Errorf("still registered: %+v", minions)
		}
	})
}

// After the drain timeout the handlers' contexts end. Their tasks go back to the queue at
// once, and no retry is used up.
func TestDrainRelease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cause error
		first := true
		handler := func(ctx context.Context, a args) (int, error) {
			if !first {
				return a.N, nil
			}
			first = false
			err := obey(ctx)
			cause = context.Cause(ctx)
			return 0, err
		}
		c := r.crew(1, handler, minion.DrainTimeout(20*time.Second))
		fut := r.send(6)
		time.Sleep(time.Second)
		began := time.Now()
		if err := c.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		r.near("the end of Run", time.Since(began), 20*time.Second)
		if !errors.Is(cause, task.ErrStopping) {
			t.Errorf("the cause was %v", cause)
		}
		if st := r.status(fut.ID()); st.State != broker.StatePending {
			t.Errorf("the task is %s", st.State)
		}
		r.crew(1, handler)
		if n, err := r.result(fut); n != 6 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		r.want(fut, broker.StateSucceeded, 2, 0)
	})
}

// A handler that ignores its context does not block Run. Its task goes back to the queue,
// and its late result has no effect.
func TestDrainAbandon(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		returned := make(chan struct{})
		c := r.crew(1, func(context.Context, args) (int, error) {
			defer close(returned)
			time.Sleep(time.Hour)
			return 1, nil
		}, minion.DrainTimeout(20*time.Second))
		fut := r.send(1)
		time.Sleep(time.Second)
		began := time.Now()
		err := c.stop()
		r.near("the end of Run", time.Since(began), 22*time.Second)
		if !errors.Is(err, minion.ErrAbandoned) || !strings.Contains(err.Error(), "work") || !strings.Contains(err.Error(), fut.ID().String()) {
			t.Errorf("run: %v", err)
		}
		if st := r.status(fut.ID()); st.State != broker.StatePending {
			t.Errorf("the task is %s", st.State)
		}
		<-returned
		synctest.Wait()
		if st := r.status(fut.ID()); st.State != broker.StatePending {
			t.Errorf("after the late return the task is %s", st.State)
		}
		if r.logs.count("result dropped") != 1 {
			t.Errorf("the late result is not in the log:\n%s", r.logs)
		}
	})
}

// An explicit NoRetry, RetryAfter or Snooze counts even if the handler was told to stop.
func TestDrainExplicit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.crew(2, func(ctx context.Context, a args) (int, error) {
			<-ctx.Done()
			if a.N == 1 {
				return 0, task.NoRetry(errBad)
			}
			return a.N, nil
		}, minion.DrainTimeout(0))
		failed, fine := r.send(1), r.send(2)
		time.Sleep(time.Second)
		if err := c.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		r.want(failed, broker.StateFailed, 1, 0)
		r.want(fine, broker.StateSucceeded, 1, 0)
	})
}

// Stop with a context that ends shortens the time to drain. Close gives no time.
func TestStopAndClose(t *testing.T) {
	for _, end := range []string{"stop", "close"} {
		t.Run(end, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.crew(1, func(ctx context.Context, _ args) (int, error) { return 0, obey(ctx) })
				fut := r.send(1)
				time.Sleep(time.Second)
				began := time.Now()
				if end == "stop" {
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					if err := c.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("stop: %v", err)
					}
					r.near("stop", time.Since(began), 3*time.Second)
					if err := c.Stop(t.Context()); err != nil {
						t.Errorf("stop again: %v", err)
					}
					r.near("the end of Run", time.Since(began), 3*time.Second)
				} else {
					if err := c.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
					r.near("close", time.Since(began), 0)
					_ = c.Close()
				}
				<-c.done
				if c.err != nil {
					t.Errorf("run: %v", c.err)
				}
				if st := r.status(fut.ID()); st.State != broker.StatePending {
					t.Errorf("the task is %s", st.State)
				}
			})
		})
	}
}

// The broker can't be reached when the minion is stopped: Run returns in bounded time, and
// its error says how many results could not be stored.
func TestDrainInOutage(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var o out
		r.b.Set(o.hooks(all...))
		c := r.crew(1, func(_ context.Context, a args) (int, error) {
			o.down.Store(true)
			return a.N, nil
		}, minion.DrainTimeout(5*time.Second))
		fut := r.send(1)
		time.Sleep(time.Second)
		began := time.Now()
		err := c.stop()
		if !errors.Is(err, task.ErrUnavailable) || !strings.Contains(err.Error(), "1 results") {
			t.Errorf("run: %v", err)
		}
		if d := time.Since(began); d > 5*time.Second+2*time.Second+10*time.Second {
			t.Errorf("run returned after %v", d)
		}
		o.down.Store(false)
		r.crew(1, func(_ context.Context, a args) (int, error) { return a.N + 1, nil })
		if n, err := r.result(fut); n != 2 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
	})
}

// Settlements that are under way when the minion stops are stored.
func TestDrainSettles(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Settle {
				time.Sleep(3 * time.Second)
			}
			return nil
		}})
		c := r.crew(1, func(_ context.Context, a args) (int, error) { return a.N, nil })
		fut := r.send(1)
		synctest.Wait()
		if err := c.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		r.want(fut, broker.StateSucceeded, 1, 0)
	})
}

func TestBrokerClosed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cause error
		c := r.crew(2, func(ctx context.Context, _ args) (int, error) {
			err := obey(ctx)
			cause = context.Cause(ctx)
			return 0, err
		})
		r.send(1)
		synctest.Wait()
		_ = r.b.Close()
		<-c.done
		if !errors.Is(c.err, task.ErrClosed) {
			t.Errorf("run: %v", c.err)
		}
		if !errors.Is(cause, task.ErrLeaseLost) || !errors.Is(cause, task.ErrClosed) {
			t.Errorf("the cause was %v", cause)
		}
	})
}
