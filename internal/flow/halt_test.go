package flow_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/faulty"
	"github.com/go-arbiter/arbiter/internal/flow"
	"github.com/go-arbiter/arbiter/internal/halting"
	"github.com/go-arbiter/arbiter/task"
)

// large is from how many members on a flow is halted in these tests.
const large = 5

// largeGroup returns a group of more than that, with flows in it, in two queues.
func largeGroup() task.Bound {
	s := task.GroupSettings{Need: 7, Callback: sum().Unbound(), Finalizer: num(7).Request()}
	inner := task.All(num(1), other.Bind(numArgs{2}), num(3), num(4), num(5), num(6))
	return group(s, num(10), other.Bind(numArgs{11}), task.Then(inner, sum()), task.Then(num(12), plus(1)),
		other.Bind(numArgs{13}), num(14).With(task.Delay(time.Second)), num(15))
}

func setLarge(t *testing.T) {
	t.Helper()
	t.Cleanup(halting.Set(large, broker.HaltPatience))
}

// rest waits, and keeps the consumer alive.
func (w *world) rest(d time.Duration) {
	w.Helper()
	for ; d > 0; d -= time.Second {
		time.Sleep(min(d, time.Second))
		if err := w.worker.Heartbeat(context.Background(), broker.Load{}); err != nil {
			w.Fatal(err)
		}
	}
}

// look looks a flow up.
func (w *world) look(id broker.ID) *broker.Progress {
	w.Helper()
	p, err := w.b.(broker.Flows).LookupFlow(context.Background(), id)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// canceledAlone checks that a group of largeGroup has ended by a kill, of which nothing
// but the finalizer has run, and that its queues are as before.
func (w *world) canceledAlone(id broker.ID) {
	w.Helper()
	if o := w.outcome(id); o.State != broker.StateCanceled {
		w.Errorf("the outcome is %s", text(o))
	}
	w.same(map[string]int{"work 7": 1})
	clear(w.ran)
	w.send(num(20))
	w.send(other.Bind(numArgs{21}))
	for range 3 {
		w.run()
	}
	w.same(map[string]int{"work 20": 1, "work 21": 1})
	w.rest(2 * broker.HaltPatience)
	for _, queue := range queues {
		if left, err := w.b.(broker.Flows).Arrivals(context.Background(), queue, broker.MaxBatch); err != nil || len(left) > 0 {
			w.Errorf("queue %s: arrivals %+v, %v", queue, left, err)
		}
	}
}

// No member begins from when a large group is marked, whenever a minion asks for one.
func TestKillHaltsFirst(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(largeGroup())
		marked := false
		w.bad.Set(faulty.Hooks{
			Before: func(_ context.Context, op faulty.Op, _ int) error {
				if marked {
					w.run()
				}
				return nil
			},
			After: func(op faulty.Op, _ int) error {
				marked = marked || op == faulty.MarkFlow
				if marked {
					w.rest(time.Second) // one is due by then
					w.run()
				}
				return nil
			},
		})
		if err := w.driver.KillFlow(t.Context(), w.look(id), nil); err != nil {
			t.Fatal(err)
		}
		w.bad.Set(faulty.Hooks{})
		w.canceledAlone(id)
	})
}

// A killer may die at any moment. From its first request on no member begins, and
// somebody else finishes what it has begun.
func TestKillerDies(t *testing.T) {
	setLarge(t)
	for _, after := range []bool{false, true} {
		for lethal, died := 1, true; died; lethal++ {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, lethal, after)
				defer w.close()
				id := w.send(largeGroup())
				err := w.driver.KillFlow(t.Context(), w.look(id), nil)
				if died = w.dead; !died {
					return
				}
				if !errors.Is(err, errDead) && err != nil {
					t.Fatal(err)
				}
				w.reborn()
				if lethal == 1 && !after { // nothing has happened
					if n := w.run(); n == 0 {
						t.Error("no member has run")
					}
					return
				}
				marked := w.look(id).Marks&broker.MarkKilled != 0
				for range 4 {
					w.run()
					w.rest(broker.HaltPatience / 3)
				}
				if !marked { // the flows in it may not have been halted
					w.outcome(id)
					for _, own := range []string{"work 10", "work 11", "work 13", "work 14", "work 15"} {
						if w.ran[own] > 0 {
							t.Errorf("%s has run", own)
						}
					}
					clear(w.ran)
					w.ran["work 7"] = 1
				}
				w.canceledAlone(id)
			})
			if t.Failed() {
				t.Fatalf("death at call %d, after it: %v", lethal, after)
			}
		}
	}
}

func TestTwoKillsAtOnce(t *testing.T) {
	setLarge(t)
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 0, false)
			defer w.close()
			id := w.send(largeGroup())
			p := w.look(id)
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					if err := w.driver.KillFlow(t.Context(), p, nil); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			w.canceledAlone(id)
		})
	}
}

// Nobody takes over a kill that goes on, however long it takes.
func TestLongKillIsLeftAlone(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		members := make([]task.Bound, 5*broker.MaxBatch)
		for i := range members {
			members[i] = num(i)
		}
		id := w.send(group(task.GroupSettings{Need: len(members)}, members...))
		began := time.Now()
		w.bad.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Members {
				w.rest(broker.HaltPatience * 2 / 3)
				found, err := w.b.(broker.Flows).Arrivals(context.Background(), "default", broker.MaxBatch)
				for _, a := range found {
					if a.Kill {
						t.Errorf("it is found after %v", time.Since(began))
					}
				}
				if err != nil {
					t.Error(err)
				}
				w.run()
			}
			return nil
		}})
		if err := w.driver.KillFlow(t.Context(), w.look(id), nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 3*broker.HaltPatience {
			t.Errorf("it took %v", took)
		}
		w.bad.Set(faulty.Hooks{})
		if o := w.look(id).Outcome; o == nil || o.State != broker.StateCanceled {
			t.Errorf("the outcome is %v", o)
		}
		w.same(nil)
	})
}

// What runs is told before anything else is looked for.
func TestRunningAreToldFirst(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(largeGroup())
		got, err := w.worker.Dequeue(t.Context(), queues, 4, time.Second)
		if err != nil || len(got) != 4 {
			t.Fatal(len(got), err)
		}
		verdicts := make(map[broker.ID]broker.CancelVerdict)
		w.bad.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Members && len(verdicts) < len(got) {
				t.Errorf("%d of %d were told when the members are looked for", len(verdicts), len(got))
			}
			return nil
		}})
		err = w.driver.KillFlow(t.Context(), w.look(id), func(id broker.ID, v broker.CancelVerdict) {
			if verdicts[id] == 0 {
				verdicts[id] = v
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if verdicts[d.ID] != broker.CancelRequested {
				t.Errorf("one that ran: %v", verdicts[d.ID])
			}
		}
	})
}

// A small flow costs no more than before.
func TestSmallFlowIsNotHalted(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(group(task.GroupSettings{Need: 4}, num(1), num(2), task.Then(num(3), plus(1)), num(4)))
		if err := w.driver.KillFlow(t.Context(), w.look(id), nil); err != nil {
			t.Fatal(err)
		}
		if n := w.bad.Calls(faulty.Halt); n != 0 {
			t.Errorf("it was halted %d times", n)
		}
	})
}

// A large flow in a small one is halted when it is reached.
func TestLargeFlowInASmallOne(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(group(task.GroupSettings{Need: 1}, largeGroup()))
		if err := w.driver.KillFlow(t.Context(), w.look(id), nil); err != nil {
			t.Fatal(err)
		}
		if n := w.bad.Calls(faulty.Halt); n == 0 {
			t.Error("it was not halted")
		}
		w.canceledAlone(id)
	})
}

// A kill that cannot be finished keeps the flow halted, and does not keep the rest from
// being done.
func TestKillThatFailsAgain(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(largeGroup())
		errBad := errors.New("bad")
		w.bad.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Members {
				return errBad
			}
			return nil
		}})
		if err := w.driver.KillFlow(t.Context(), w.look(id), nil); !errors.Is(err, errBad) {
			t.Errorf("kill: %v", err)
		}
		for range 3 {
			w.rest(broker.HaltPatience + time.Second)
			if err := w.driver.Drain(t.Context(), "default"); !errors.Is(err, errBad) {
				t.Errorf("drain: %v", err)
			}
			w.run()
		}
		w.same(nil)
		w.bad.Set(faulty.Hooks{})
		w.rest(broker.HaltPatience + time.Second)
		w.canceledAlone(id)
	})
}

// Members that run are cancelled when their flows are marked as killed, also those of the
// flows in it. A driver that counts them before would see a flow that has failed.
func TestRunningAreToldAfterTheMark(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		inner := task.All(num(1), num(2), num(3), num(4), num(5), num(6))
		id := w.send(group(task.GroupSettings{Need: 7}, inner, num(11), num(12), num(13), num(14), num(15), num(16)))
		var held []*broker.Delivery
		for len(held) < 12 {
			held = append(held, w.next())
		}
		flows := w.b.(broker.Flows)
		members, err := flows.Members(t.Context(), id, 0, 1, false)
		if err != nil || len(members) != 1 || members[0].ID.Kind() != broker.KindGroup {
			t.Fatalf("%+v, %v", members, err)
		}
		another := &flow.Driver{Broker: w.b, Log: silent}
		w.bad.Set(faulty.Hooks{After: func(op faulty.Op, _ int) error {
			if op != faulty.Cancel || len(held) == 0 {
				return nil
			}
			var batch []broker.Settlement
			for _, d := range held {
				batch = append(batch, broker.Settlement{Delivery: d, Outcome: broker.Outcome{State: broker.StateCanceled, Name: d.Name}})
			}
			held = nil
			if errs, err := w.worker.Settle(context.Background(), batch); err != nil || errors.Join(errs...) != nil {
				t.Error(err, errs)
			}
			for _, queue := range queues {
				if err := another.Drain(context.Background(), queue); err != nil {
					t.Error(err)
				}
			}
			return nil
		}})
		if err := w.driver.KillFlow(t.Context(), w.look(id), nil); err != nil {
			t.Fatal(err)
		}
		w.bad.Set(faulty.Hooks{})
		if len(held) > 0 {
			t.Error("nobody was told")
		}
		for _, one := range []broker.ID{id, members[0].ID} {
			if o := w.outcome(one); o.State != broker.StateCanceled {
				t.Errorf("%v: the outcome is %s", one.Kind(), text(o))
			}
		}
	})
}
