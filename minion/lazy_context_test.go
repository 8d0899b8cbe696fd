package minion_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// A handler's context behaves the same, no matter when it is first used.
func TestContextUsedLate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var kept context.Context
		r.crew(1, func(ctx context.Context, a args) (int, error) {
			kept = ctx
			if a.N == 0 {
				return 0, nil
			}
			time.Sleep(time.Second) // the task is killed meanwhile
			if cause := context.Cause(ctx); !errors.Is(cause, task.ErrCanceled) {
				t.Errorf("the cause is %v", cause)
			}
			derived, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			if !errors.Is(derived.Err(), context.Canceled) || !errors.Is(context.Cause(derived), task.ErrCanceled) {
				t.Errorf("a derived context: %v, %v", derived.Err(), context.Cause(derived))
			}
			return 0, ctx.Err()
		})
		if _, err := r.result(r.send(0)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if kept.Err() == nil {
			t.Error("the context of a handler that has returned has not ended")
		}
		killed := r.send(1)
		time.Sleep(time.Second / 2)
		if _, err := r.arb.Kill(t.Context(), killed.ID()); err != nil {
			t.Fatal(err)
		}
		r.want(killed, broker.StateCanceled, 1, 0)
	})
}

// A goroutine that waits for the end of a handler's context is woken when it ends.
func TestContextWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		told := make(chan time.Time, 1)
		r.crew(1, func(ctx context.Context, _ args) (int, error) {
			context.AfterFunc(ctx, func() { told <- time.Now() })
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			return 0, obey(child)
		})
		fut := r.send(1)
		time.Sleep(time.Second)
		began := time.Now()
		if _, err := r.arb.Kill(t.Context(), fut.ID()); err != nil {
			t.Fatal(err)
		}
		r.want(fut, broker.StateCanceled, 1, 0)
		r.near("the call", (<-told).Sub(began), 0)
	})
}
