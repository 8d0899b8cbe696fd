package arbiter

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// Verdict says what [Arbiter.Kill] found.
type Verdict string

// The verdicts.
const (
	NeverStarted Verdict = "never started" // it waited; it is canceled and never starts
	Stopping     Verdict = "stopping"      // it runs, and its minion has been told
	Stopped      Verdict = "stopped"       // it ran, and has ended as canceled; only with Wait
	TooLate      Verdict = "too late"      // it was done before, or finished all the same
)

// KillOption changes what [Arbiter.Kill] does.
type KillOption interface {
	applyKill(*kill)
}

type kill struct{ wait bool }

type killFunc func(*kill)

func (f killFunc) applyKill(k *kill) { f(k) }

// Wait lets Kill return only when the task is done. The default is to return
// when the broker has marked it.
func Wait() KillOption { return killFunc(func(k *kill) { k.wait = true }) }

// Kill ends a task, whoever sent it. One that waits for a minion, for its time
// or for a retry is canceled when Kill returns and never starts. Of one that
// runs, the handler's context is cancelled within a second, with
// [task.ErrCanceled] as its cause; it is canceled when the handler returns an
// error, has succeeded if the handler returns none, and is not retried either
// way. Killing a task again is harmless.
//
// The error wraps [task.ErrNotFound] if the task is unknown,
// [task.ErrUnavailable] or [task.ErrClosed]; with [Wait] it can be ctx's, and
// the verdict is Stopping then.
func (a *Arbiter) Kill(ctx context.Context, id task.ID, opts ...KillOption) (Verdict, error) {
	var k kill
	for _, o := range opts {
		if o != nil {
			o.applyKill(&k)
		}
	}
	if err := a.open(); err != nil {
		return "", fmt.Errorf("kill task %s: %w", id, err)
	}
	verdicts, err := a.b.Cancel(ctx, []task.ID{id})
	if err != nil {
		return "", fmt.Errorf("kill task %s: %w", id, err)
	}
	if len(verdicts) != 1 {
		return "", fmt.Errorf("kill task %s: the broker gave %d verdicts", id, len(verdicts))
	}
	switch verdicts[0] {
	case broker.CancelPrevented:
		return NeverStarted, nil
	case broker.CancelTooLate:
		return TooLate, nil
	case broker.CancelRequested:
		if k.wait {
			return a.killed(ctx, id)
		}
		return Stopping, nil
	}
	return "", fmt.Errorf("kill task %s: %w", id, broker.ErrNotFound)
}

// killed waits for the end of a task that was told to stop.
func (a *Arbiter) killed(ctx context.Context, id task.ID) (Verdict, error) {
	w := a.client.Watch(id)
	defer w.Close()
	arrivals, err := w.Wait(ctx)
	if err != nil {
		return Stopping, fmt.Errorf("wait for killed task %s: %w", id, err)
	}
	a.client.Restore(arrivals...)
	switch arrivals[0].State {
	case broker.StateCanceled, broker.StateUnknown: // it ran, and isn't kept
		return Stopped, nil
	default:
		return TooLate, nil
	}
}
