package arbiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/internal/base/guard"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// Signal gives a task a value, for which its handler waits with step.Wait under the same name. The task keeps it, also if
// it has not started or does not wait yet. A task gets one signal of each name. Signal repeats itself while the broker is not
// available, as long as ctx lasts.
//
// The error wraps [task.ErrInvalid], [broker.ErrNotFound] for a task that is not known, [broker.ErrEnded] if it is done,
// [broker.ErrSignaled] if it has a signal of that name, [broker.ErrSteps] if it has no room for one more,
// [task.ErrUnsupported] if the broker has no [broker.Steps], or [task.ErrClosed]. It also wraps
// [task.ErrIndeterminate] if the task has ended while Signal repeated itself: then the task may have had the signal.
func (a *Arbiter) Signal(ctx context.Context, id task.ID, name string, value any) error {
	err := a.open()
	var b broker.Steps
	if err == nil {
		b, err = broker.StepsOf(a.b, "Arbiter.Signal")
	}
	if err == nil {
		err = a.signal(ctx, b, id, name, value)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("signal %s to task %s: %w", name, id, err)
}

func (a *Arbiter) signal(ctx context.Context, b broker.Steps, id task.ID, name string, value any) error {
	enc := a.codec
	data, err := func() (data []byte, err error) {
		defer guard.Codec(enc.Name(), "AppendValue", &err)
		return seal.Plain(enc).AppendValue(nil, value)
	}()
	if s := seal.Of(enc); s != nil && err == nil {
		data, err = seal.Signal(s, id, name, data)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", broker.ErrInvalid, err)
	}
	signal := broker.Signal{ID: broker.NewID(broker.KindParty, "", 0), Name: name, Codec: enc.Name(), Data: data}
	lost := false // whether an earlier try may have been carried out
	for try := 0; ; try++ {
		err := b.Signal(ctx, id, signal)
		if lost && (errors.Is(err, broker.ErrEnded) || errors.Is(err, broker.ErrNotFound)) {
			return fmt.Errorf("%w: the task has ended meanwhile, and may have had the signal before: %w", broker.ErrIndeterminate, err)
		}
		lost = lost || errors.Is(err, broker.ErrIndeterminate)
		if err == nil || !errors.Is(err, broker.ErrUnavailable) || !backoff.Sleep(ctx, backoff.Delay(try, 50*time.Millisecond, 5*time.Second)) {
			return err
		}
	}
}
