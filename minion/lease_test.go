package minion_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// out makes operations fail while it is down.
type out struct{ down atomic.Bool }

func (o *out) hooks(ops ...faulty.Op) faulty.Hooks {
	return faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
		if !o.down.Load() {
			return nil
		}
		if slices.Contains(ops, op) {
			return faulty.ErrUnavailable
		}
		return nil
	}}
}

var all = []faulty.Op{faulty.Consume, faulty.Dequeue, faulty.Settle, faulty.Heartbeat, faulty.Leave}

// refuseResults makes a broker refuse every settlement that has a result.
func refuseResults() faulty.Hooks {
	return faulty.Hooks{Refuse: func(s broker.Settlement) error {
		if len(s.Outcome.Result) > 0 {
			return errLimit
		}
		return nil
	}}
}

var errLimit = errors.Join(broker.ErrTooLarge, errors.New("a limit of the server"))

// A minion that can't renew its lease stops its handlers before another minion may start
// their tasks, and their late results have no effect.
func TestLeaseLostHere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var o out
		r.b.Set(o.hooks(all...))
		var stopped, again time.Time
		var cause error
		r.crew(2, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			if info.Attempt > 1 {
				again = time.Now()
				return int(info.Attempt)*10 + info.Recoveries, nil
			}
			<-ctx.Done()
			stopped, cause = time.Now(), context.Cause(ctx)
			return 1, nil
		})
		fut := r.send(1)
		synctest.Wait()
		o.down.Store(true)
		began := time.Now()
		time.Sleep(5 * time.Minute)
		o.down.Store(false)
		// The recovery is excused when the consumer of the old session is closed, which
		// may be before or after the task is handed out again.
		if n, err := r.result(fut); n != 20 && n != 21 || err != nil {
			t.Errorf("result: %d, %v, want the result of attempt 2 after 0 or 1 recoveries", n, err)
		}
		if d := stopped.Sub(began); d >= memory.DefaultLease || d < memory.DefaultLease/2 {
			t.Errorf("the handler was stopped after %v, with a lease of %v", d, memory.DefaultLease)
		}
		if !errors.Is(cause, task.ErrLeaseLost) {
			t.Errorf("the cause was %v", cause)
		}
		if !again.After(stopped) {
			t.Error("the second attempt began before the first was told to stop")
		}
		r.want(fut, broker.StateSucceeded, 2, 0)
		if r.logs.count("broker out of reach") != 1 || r.logs.count("broker is back") != 1 {
			t.Errorf("want one line for the outage and one for its end:\n%s", r.logs)
		}
	})
}

// A minion tries often to renew its lease until the lease is lost: an outage that ends
// shortly before costs no lease.
func TestHeartbeatIsTriedOften(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var down atomic.Bool
		var tries []time.Time
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op != faulty.Heartbeat || !down.Load() {
				return nil
			}
			tries = append(tries, time.Now())
			return faulty.ErrUnavailable
		}})
		stop := make(chan struct{})
		r.crew(1, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			select {
			case <-stop:
			case <-ctx.Done():
			}
			return int(info.Attempt), nil
		})
		fut := r.send(1)
		synctest.Wait()
		down.Store(true)
		time.Sleep(memory.DefaultLease * 3 / 4) // the minion considers the lease lost after 5/6
		down.Store(false)
		time.Sleep(memory.DefaultLease)
		close(stop)
		if n, err := r.result(fut); n != 1 || err != nil {
			t.Errorf("result: %d, %v, want the result of attempt 1", n, err)
		}
		for i := 1; i < len(tries); i++ {
			if gap := tries[i].Sub(tries[i-1]); gap > memory.DefaultLease/12 {
				t.Errorf("try %d came %v after the one before", i, gap)
			}
		}
		if len(tries) < 6 {
			t.Errorf("%d tries", len(tries))
		}
	})
}

// Only heartbeats fail: another minion gets the task, and the late result of the first
// minion is dropped.
func TestLeaseLostToAnother(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var fine atomic.Bool
		r.b.Set(faulty.Hooks{Before: func(ctx context.Context, op faulty.Op, _ int) error {
			if op == faulty.Heartbeat && !fine.Load() {
				<-ctx.Done() // the request hangs
				return faulty.ErrUnavailable
			}
			return nil
		}})
		runs := 0
		r.crew(1, func(ctx context.Context, _ args) (int, error) {
			runs++
			info, _ := task.FromContext(ctx)
			if info.Attempt == 1 {
				<-ctx.Done()
				fine.Store(true)
				time.Sleep(time.Minute) // the handler ignores the end of its context
			}
			return int(info.Attempt), nil
		})
		fut := r.send(1)
		synctest.Wait()
		r.crew(1, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			return 100 + int(info.Attempt), nil
		})
		if n, err := r.result(fut); n != 102 || err != nil {
			t.Errorf("result: %d, %v, want the second minion's", n, err)
		}
		time.Sleep(5 * time.Minute)
		r.want(fut, broker.StateSucceeded, 2, 0)
		if runs != 1 {
			t.Errorf("the first minion ran it %d times", runs)
		}
	})
}

// The broker says that the lease is lost: the minion drops everything and registers again.
func TestLeaseLostThere(t *testing.T) {
	for _, op := range []faulty.Op{faulty.Heartbeat, faulty.Dequeue} {
		t.Run(string(op), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var lose atomic.Bool
				r.b.Set(faulty.Hooks{Before: func(_ context.Context, o faulty.Op, _ int) error {
					if o == op && lose.CompareAndSwap(true, false) {
						return broker.ErrLeaseLost
					}
					return nil
				}})
				causes := make(chan error, 9)
				r.crew(2, func(ctx context.Context, a args) (int, error) {
					info, _ := task.FromContext(ctx)
					if a.N == 1 && info.Attempt == 1 {
						<-ctx.Done()
						causes <- context.Cause(ctx)
						return 0, ctx.Err()
					}
					return int(info.Attempt), nil
				})
				fut := r.send(1)
				synctest.Wait()
				lose.Store(true)
				r.send(0) // makes the minion dequeue
				if n, err := r.result(fut); n != 2 || err != nil {
					t.Errorf("result: %d, %v", n, err)
				}
				if cause := <-causes; !errors.Is(cause, task.ErrLeaseLost) {
					t.Errorf("the cause was %v", cause)
				}
				// The task was given back when the consumer was closed, so no
				// recovery is counted.
				r.want(fut, broker.StateSucceeded, 2, 0)
				if n := r.b.Calls(faulty.Consume); n != 2 {
					t.Errorf("it registered %d times", n)
				}
			})
		})
	}
}

// Neither a short outage after a success nor a lost reply makes the task run again.
func TestSettleOutage(t *testing.T) {
	for name, hooks := range map[string]func(r *rig, o *out) faulty.Hooks{
		"unavailable": func(_ *rig, o *out) faulty.Hooks { return o.hooks(faulty.Settle, faulty.Dequeue) },
		"reply lost": func(_ *rig, o *out) faulty.Hooks {
			return faulty.Hooks{After: func(op faulty.Op, _ int) error {
				if o.down.Load() && op == faulty.Settle {
					return faulty.ErrLostReply
				}
				return nil
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var o out
				r.b.Set(hooks(r, &o))
				runs := 0
				r.crew(1, func(_ context.Context, a args) (int, error) {
					runs++
					o.down.Store(true)
					time.AfterFunc(8*time.Second, func() { o.down.Store(false) })
					return a.N, nil
				})
				fut := r.send(3)
				if n, err := r.result(fut); n != 3 || err != nil {
					t.Errorf("result: %d, %v", n, err)
				}
				time.Sleep(time.Minute)
				r.want(fut, broker.StateSucceeded, 1, 0)
				if runs != 1 {
					t.Errorf("it ran %d times", runs)
				}
			})
		})
	}
}

// A task that was done before a long outage is settled after it, if the broker still
// accepts that: the task was not handed out again meanwhile.
func TestSettleAfterOutage(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var o out
		// The broker keeps the lease, as if the broker itself had been down.
		r.b.Set(o.hooks(faulty.Settle, faulty.Dequeue, faulty.Heartbeat, faulty.Consume, faulty.Leave))
		runs := 0
		r.crew(1, func(_ context.Context, a args) (int, error) {
			runs++
			o.down.Store(true)
			return a.N, nil
		})
		fut := r.send(3)
		time.Sleep(time.Minute)
		o.down.Store(false)
		if n, err := r.result(fut); n != 3 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		if runs != 1 {
			t.Errorf("it ran %d times", runs)
		}
	}, memory.Lease(5*time.Minute))
}

// A task that kills every minion becomes a dead letter.
func TestMinionDied(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		fut := r.send(1)
		for range 3 {
			c, err := r.b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"default"}, Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Dequeue(t.Context(), []string{"default"}, 1, time.Minute)
			if len(got) != 1 || err != nil {
				t.Fatalf("dequeue: %v, %v", got, err)
			}
			if _, _, err := r.b.RecordStart(t.Context(), got[0]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // the consumer sends no heartbeat
		}
		r.crew(1, func(context.Context, args) (int, error) { t.Error("it ran"); return 0, nil }, minion.MaxRecoveries(3))
		r.fails(fut, task.ErrMinionDied, "3 times")
	})
}

// The broker can't be reached at the start: the minion waits for it.
func TestAbsentBroker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var o out
		o.down.Store(true)
		r.b.Set(o.hooks(all...))
		fut := r.send(4)
		r.crew(1, func(_ context.Context, a args) (int, error) { return a.N, nil })
		time.Sleep(time.Hour)
		if n := r.b.Calls(faulty.Consume); n < 1500 || n > 5000 {
			t.Errorf("%d attempts to register in an hour, want one in 1 to 2 s", n)
		}
		o.down.Store(false)
		began := time.Now()
		if n, err := r.result(fut); n != 4 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("it took %v to notice", d)
		}
	})
}

// Dequeues fail for a while: the lease is kept, and no task is lost.
func TestDequeueOutage(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var o out
		r.b.Set(o.hooks(faulty.Dequeue))
		r.crew(1, func(_ context.Context, a args) (int, error) { return a.N, nil })
		r.send(1)
		synctest.Wait()
		o.down.Store(true)
		r.send(2)
		fut := r.send(3)
		time.Sleep(time.Hour)
		o.down.Store(false)
		if n, err := r.result(fut); n != 3 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		if r.b.Calls(faulty.Consume) != 1 {
			t.Error("it registered anew")
		}
		synctest.Wait() // the result may be there before the log line
		if r.logs.count("broker out of reach") != 1 || r.logs.count("broker is back") != 1 {
			t.Errorf("want one line for the outage and one for its end:\n%s", r.logs)
		}
	})
}

// A minion whose registration took most of a lease renews the lease at once.
func TestSlowRegistration(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Consume {
				time.Sleep(memory.DefaultLease * 2 / 3)
			}
			return nil
		}})
		var starts atomic.Int32
		var cause error
		r.crew(1, func(ctx context.Context, _ args) (int, error) {
			starts.Add(1)
			select {
			case <-time.After(memory.DefaultLease):
			case <-ctx.Done():
				cause = context.Cause(ctx)
			}
			return 0, nil
		})
		if _, err := r.result(r.send(1)); err != nil || cause != nil || starts.Load() != 1 {
			t.Errorf("%v; the context ended with %v; %d starts", err, cause, starts.Load())
		}
	})
}
