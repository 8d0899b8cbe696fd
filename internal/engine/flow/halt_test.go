package flow_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
	"github.com/go-arbiter/arbiter/internal/engine/halting"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// large is the number of members from which on these tests halt a flow.
const large = 5

// largeGroup returns a group with more members than that, with flows inside it, in two queues.
func largeGroup() task.Bound {
	s := request.GroupSettings{Quorum: 7, Callback: sum().Unbound(), Finalizer: num(7).Request()}
	inner := task.All(num(1), other.Bind(numArgs{2}), num(3), num(4), num(5), num(6))
	return group(s, num(10), other.Bind(numArgs{11}), task.Then(inner, sum()), task.Then(num(12), plus(1)),
		other.Bind(numArgs{13}), num(14).With(task.Delay(time.Second)), num(15))
}

// setLarge applies large until the test ends.
func setLarge(t *testing.T) {
	t.Helper()
	t.Cleanup(halting.Set(large, broker.HaltPatience))
}

// rest sleeps for d and keeps the consumer alive meanwhile.
func (w *world) rest(d time.Duration) {
	w.Helper()
	for ; d > 0; d -= time.Second {
		time.Sleep(min(d, time.Second))
		if err := w.worker.Heartbeat(context.Background(), broker.Load{}); err != nil {
			w.Fatal(err)
		}
	}
}

// onMembers calls f before each request for members, which is how a kill looks for them. The
// request fails with the error of f. Setting other hooks ends that.
func (w *world) onMembers(f func() error) {
	w.bad.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
		if op != faulty.Members {
			return nil
		}
		return f()
	}})
}

// look looks up a flow.
func (w *world) look(id broker.ID) *broker.Progress {
	w.Helper()
	p, err := w.b.(broker.Flows).LookupFlow(context.Background(), id)
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// canceledAlone checks that a kill has ended a group of largeGroup, that nothing but the
// finalizer has run, and that its queues work as before.
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

// Once a large group is marked as killed, no member begins, whenever a minion asks for a task.
func TestKillHaltsFirst(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(largeGroup())
		marked := false
		w.bad.Set(faulty.Hooks{
			Before: func(_ context.Context, _ faulty.Op, _ int) error {
				if marked {
					w.run()
				}
				return nil
			},
			After: func(op faulty.Op, _ int) error {
				marked = marked || op == faulty.MarkFlow
				if marked {
					w.rest(time.Second) // the delayed member is due by then
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

// The process of a kill may die at any point. No member begins after its first request, and
// another process finishes the kill.
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
				if lethal == 1 && !after { // the kill has changed nothing
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
				if !marked { // the inner flows may not have been halted
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

// Several kills of one group at the same time do what one does.
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

// No other process takes over a kill that goes on, however long it takes.
func TestLongKillIsLeftAlone(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		members := make([]task.Bound, 5*broker.MaxBatch)
		for i := range members {
			members[i] = num(i)
		}
		id := w.send(group(request.GroupSettings{Quorum: len(members)}, members...))
		began := time.Now()
		w.onMembers(func() error {
			w.rest(broker.HaltPatience * 2 / 3)
			found, err := w.b.(broker.Flows).Arrivals(context.Background(), "default", broker.MaxBatch)
			for _, a := range found {
				if a.Kill {
					t.Errorf("another driver gets the kill after %v", time.Since(began))
				}
			}
			if err != nil {
				t.Error(err)
			}
			w.run()
			return nil
		})
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

// Running members are cancelled before the kill looks for other members.
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
		w.onMembers(func() error {
			if len(verdicts) < len(got) {
				t.Errorf("%d of %d running members are cancelled when the kill looks for the others", len(verdicts), len(got))
			}
			return nil
		})
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
				t.Errorf("the verdict of a running member is %v", verdicts[d.ID])
			}
		}
	})
}

// A small flow is killed without being halted, so the kill takes no extra requests.
func TestSmallFlowIsNotHalted(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(group(request.GroupSettings{Quorum: 4}, num(1), num(2), task.Then(num(3), plus(1)), num(4)))
		if err := w.driver.KillFlow(t.Context(), w.look(id), nil); err != nil {
			t.Fatal(err)
		}
		if n := w.bad.Calls(faulty.Halt); n != 0 {
			t.Errorf("it was halted %d times", n)
		}
	})
}

// A large flow inside a small one is halted when the kill reaches it.
func TestLargeFlowInASmallOne(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(group(request.GroupSettings{Quorum: 1}, largeGroup()))
		if err := w.driver.KillFlow(t.Context(), w.look(id), nil); err != nil {
			t.Fatal(err)
		}
		if n := w.bad.Calls(faulty.Halt); n == 0 {
			t.Error("it was not halted")
		}
		w.canceledAlone(id)
	})
}

// A kill that can't be finished keeps its flow halted, and does not keep a driver from other
// work.
func TestKillThatFailsAgain(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		id := w.send(largeGroup())
		errBad := errors.New("bad")
		w.onMembers(func() error { return errBad })
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

// Running members are cancelled only after their flows are marked as killed, inner flows too.
// Otherwise a driver that counts them would take such a flow for failed.
func TestRunningAreToldAfterTheMark(t *testing.T) {
	setLarge(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		inner := task.All(num(1), num(2), num(3), num(4), num(5), num(6))
		id := w.send(group(request.GroupSettings{Quorum: 7}, inner, num(11), num(12), num(13), num(14), num(15), num(16)))
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
			t.Error("no running member was cancelled")
		}
		for _, one := range []broker.ID{id, members[0].ID} {
			if o := w.outcome(one); o.State != broker.StateCanceled {
				t.Errorf("%v: the outcome is %s", one.Kind(), text(o))
			}
		}
	})
}
