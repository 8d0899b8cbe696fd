package arbiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// Fork runs a dead letter again from one of its durable steps (package step) on, for example after the code of that step was
// mended. It removes what the task has stored of the step and of those behind it, and requeues the task, which keeps its
// id, its arguments, its signals, and the results of the steps before. Fork repeats itself while the broker is not
// available, as long as ctx lasts.
//
// The error wraps [broker.ErrNotFound] if the task is not a dead letter or has no step of that name,
// [task.ErrUnsupported] if the broker has no [broker.Steps] or no [broker.Inspector], or [task.ErrClosed]. If Fork fails after the
// steps were removed, the task is still a dead letter, and a requeue runs it from that step on. Another Fork then
// returns [broker.ErrNotFound], since the step is gone. The error also wraps [task.ErrIndeterminate] if a reply was lost
// and the repeated request finds nothing to do: look at the status of the task then.
func (a *Arbiter) Fork(ctx context.Context, id task.ID, step string) error {
	err := a.open()
	var steps broker.Steps
	var letters broker.Inspector
	if err == nil {
		steps, err = broker.StepsOf(a.b, "Arbiter.Fork")
	}
	if err == nil {
		letters, err = broker.InspectorOf(a.b, "Arbiter.Fork")
	}
	if err == nil {
		err = untilAnswered(ctx, func() error { return steps.DropSteps(ctx, id, step) })
	}
	if err == nil {
		err = untilAnswered(ctx, func() error {
			errs, err := letters.Requeue(ctx, []broker.ID{id})
			if err == nil {
				err = errs[0]
			}
			return err
		})
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("fork task %s from step %s: %w", id, step, err)
}

// untilAnswered calls f until the broker has answered. If the reply to an earlier call was lost, and the broker now
// does not find what f is to remove or to move, the error also wraps ErrIndeterminate: that call may have done it.
func untilAnswered(ctx context.Context, f func() error) error {
	lost := false
	for try := 0; ; try++ {
		err := f()
		if lost && errors.Is(err, broker.ErrNotFound) {
			return fmt.Errorf("%w: an earlier request, whose reply was lost, may have done it: %w", broker.ErrIndeterminate, err)
		}
		lost = lost || errors.Is(err, broker.ErrIndeterminate)
		if err == nil || !errors.Is(err, broker.ErrUnavailable) || !backoff.Sleep(ctx, backoff.Delay(try, 50*time.Millisecond, 5*time.Second)) {
			return err
		}
	}
}
