package arbiter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// soonOn returns an arbiter on a broker, and a context with a timeout. The timeout is shorter than the delays of the
// tests' tasks, so a test fails if a task ends only when its delay is over.
func soonOn(t *testing.T, b broker.Broker) (*arbiter.Arbiter, context.Context) {
	t.Helper()
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arb.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return arb, ctx
}

// A task whose deadline passes while it waits ends at once. A wait for the task, and for a group or pipe that it is in,
// ends with it, even without a minion.
func TestDeadlineWithoutMinion(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		arb, ctx := soonOn(t, b)
		brief := task.Within(50 * time.Millisecond)
		for name, opts := range map[string][]task.Option{
			"pending": {brief}, "delayed": {brief, task.Delay(time.Hour)},
			"keyed": {brief, task.Unique("k")}, "keyed and delayed": {brief, task.Unique("l"), task.Delay(time.Hour)},
			"passed": {task.Deadline(time.Now().Add(-time.Hour))},
		} {
			for range 2 { // the second time the unique key must be free again
				fut, err := work.With(opts...).Apply(ctx, arb, args{1})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if _, err := fut.Result(ctx); !errors.Is(err, task.ErrExpired) {
					t.Fatalf("%s: the result is %v", name, err)
				}
				if st, err := arb.Status(ctx, fut.ID()); err != nil || st.State != broker.StateExpired {
					t.Fatalf("%s: the status is %+v, %v", name, st, err)
				}
			}
		}
		for name, call := range map[string]task.Call[[]int]{
			"group":          task.All(work.Bind(args{1}), work.With(brief).Bind(args{2})),
			"delayed member": task.All(work.With(brief, task.Delay(time.Hour)).Bind(args{1}), work.Bind(args{2})),
		} {
			fut, err := call.Send(ctx, arb)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := fut.Result(ctx); !errors.Is(err, task.ErrFlowFailed) {
				t.Fatalf("%s: the result is %v", name, err)
			}
		}
		// The step that waits expires, so the pipe fails.
		pipe, err := task.Then(work.Bind(args{1}), plus(1).With(brief)).Send(ctx, arb)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pipe.Result(ctx); !errors.Is(err, task.ErrFlowFailed) {
			t.Fatalf("pipe: the result is %v", err)
		}
	})
}

// The same for a task that was sent by another process, and that only its id is known of here.
func TestDeadlineOfAnothersTask(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		sender, ctx := soonOn(t, b)
		fut, err := work.With(task.Within(200*time.Millisecond), task.Delay(time.Hour)).Apply(ctx, sender, args{1})
		if err != nil {
			t.Fatal(err)
		}
		_ = sender.Close()
		arb, ctx := soonOn(t, b)
		if _, err := task.NewFuture[int](arb, fut.ID()).Result(ctx); !errors.Is(err, task.ErrExpired) {
			t.Errorf("the result is %v", err)
		}
	})
}
