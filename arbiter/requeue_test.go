package arbiter_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

// failed waits until a task is a dead letter, without taking its outcome.
func failed(t *testing.T, b broker.Broker, ids ...task.ID) {
	t.Helper()
	for {
		found, err := b.Lookup(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		done := true
		for _, st := range found {
			done = done && st.State == broker.StateFailed
		}
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// An arbiter that was told of a failure, which nobody has asked it for, does not return that failure after a requeue.
func TestNoStaleOutcomeAfterRequeue(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		arb, ctx := soonOn(t, b)
		var fine atomic.Bool
		served(t, b, "default", func(_ context.Context, a args) (int, error) {
			if fine.Load() {
				return a.N, nil
			}
			return 0, task.NoRetry(errBad)
		})
		var ids []task.ID
		for i := range 4 {
			fut, err := work.Apply(ctx, arb, args{i})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, fut.ID())
		}
		failed(t, b, ids...)
		fine.Store(true)
		errs, err := b.(broker.Inspector).Requeue(ctx, ids[:3])
		if err = errors.Join(append(errs, err)...); err != nil {
			t.Fatal(err)
		}
		if n, err := task.NewFuture[int](arb, ids[1]).Result(ctx); n != 1 || err != nil {
			t.Errorf("after a requeue the result is %d, %v", n, err)
		}
		seen := 0
		for st, err := range arb.WaitForTasks(ctx, ids[0], ids[2], ids[3]) {
			if err != nil {
				t.Fatal(err)
			}
			seen++
			want := broker.StateSucceeded
			if st.ID == ids[3] { // the one that was not requeued
				want = broker.StateFailed
			}
			if st.State != want {
				t.Errorf("%s is %s, want %s", st.ID, st.State, want)
			}
		}
		if seen != 3 {
			t.Errorf("%d tasks are done, want 3", seen)
		}
	})
}

// The same if the notice of the requeue is lost, and the inbox reports the loss.
func TestNoStaleOutcomeAfterGap(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		runs := 0
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if runs++; runs == 1 {
				return 0, task.NoRetry(errBad)
			}
			return a.N, nil
		})
		fut := r.send(7)
		failed(t, r.b, fut.ID())
		time.Sleep(time.Second)
		r.b.Set(faulty.Hooks{Lose: func(broker.Notice) bool { return true }, Gap: func() bool { return true }})
		errs, err := r.b.Broker.(broker.Inspector).Requeue(t.Context(), []task.ID{fut.ID()})
		if err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		time.Sleep(time.Second)
		if n, err := fut.Result(t.Context()); n != 7 || err != nil {
			t.Errorf("the result is %d, %v", n, err)
		}
	})
}

// A member of a squad that has ended runs alone after a requeue, also if the squad is no longer kept.
func TestRequeueSquadMember(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		arb, ctx := soonOn(t, b)
		var fine atomic.Bool
		served(t, b, "default", func(_ context.Context, a args) (int, error) {
			if fine.Load() {
				return a.N, nil
			}
			return 0, task.NoRetry(errBad)
		})
		g, err := arb.Squad(ctx, task.Calls(work.Bind(args{5})), arbiter.WaitForWorkers(20*time.Second), arbiter.GroupRetention(time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Result(ctx, nil); !errors.Is(err, task.ErrFlowFailed) {
			t.Fatalf("the squad: %v", err)
		}
		letters, _, err := b.(broker.Inspector).DeadLetters(ctx, "default", "", 10)
		if err != nil || len(letters) != 1 {
			t.Fatalf("%d dead letters, %v", len(letters), err)
		}
		fine.Store(true)
		id := letters[0].Task.ID
		errs, err := b.(broker.Inspector).Requeue(ctx, []task.ID{id})
		if err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		if n, err := task.NewFuture[int](arb, id).Result(ctx); n != 5 || err != nil {
			t.Errorf("after the requeue the result is %d, %v", n, err)
		}
	})
}
