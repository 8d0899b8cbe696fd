package arbiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
)

// Verdict is the effect of [Arbiter.Kill] on a task.
type Verdict string

// The verdicts.
const (
	NeverStarted Verdict = "never started" // the task was waiting; it is canceled and never starts
	Stopping     Verdict = "stopping"      // the task runs, and its minion was told to stop it
	Stopped      Verdict = "stopped"       // the task ran, and has ended as canceled
	TooLate      Verdict = "too late"      // the task was done before, or has finished all the same
	Unresponsive Verdict = "unresponsive"  // the task ran, and did not end within the time of WaitAtMost
)

// KillOption changes what [Arbiter.Kill] and [Arbiter.KillGroup] do.
type KillOption interface {
	applyKill(*kill)
}

type kill struct {
	err   error
	wait  bool
	limit time.Duration // 0 is no limit
}

type killFunc func(*kill)

func (f killFunc) applyKill(k *kill) { f(k) }

// Wait makes Kill return only when the task is done, or ctx ends. The default is to return when the broker has marked the
// task as cancelled.
func Wait() KillOption { return killFunc(func(k *kill) { k.wait = true }) }

// WaitAtMost is [Wait] for no longer than d, which is 0 or more. A task that has not ended by then has the verdict
// Unresponsive, and the error is nil: its handler ignores its context, or its minion has died.
func WaitAtMost(d time.Duration) KillOption {
	return killFunc(func(k *kill) {
		if d < 0 {
			k.err = fmt.Errorf("%w option: WaitAtMost(%v), want 0 or more", broker.ErrInvalid, d)
		}
		k.wait, k.limit = true, max(d, time.Nanosecond)
	})
}

func newKill(opts []KillOption) kill {
	var k kill
	for _, o := range opts {
		if o != nil {
			o.applyKill(&k)
		}
	}
	return k
}

// Kill ends a task, no matter which process sent it. A task that waits (for a minion, for its due time, for other tasks or
// for a retry) is canceled when Kill returns, and never starts. If the task runs, the handler's context is cancelled
// within a second, with [task.ErrCanceled] as its cause. If the handler then returns an error, the task is canceled; if
// it returns nil, the task has succeeded. It is not retried in either case. Killing a task again is harmless.
//
// The verdict is NeverStarted, Stopping or TooLate. With [Wait] or [WaitAtMost] it is Stopped or TooLate in place of Stopping,
// once the task has ended.
//
// If the id belongs to a group or pipe, Kill calls [Arbiter.KillGroup], which has a verdict for each task. Kill returns one
// of them, by this order of priority: Unresponsive, Stopping, Stopped, NeverStarted, TooLate.
//
// The error wraps [task.ErrInvalid] if an option is invalid (nothing was done then), [task.ErrNotFound] if the task is
// unknown, [task.ErrUnavailable] or [task.ErrClosed]. With [Wait] it can also be ctx's error, and the verdict is Stopping
// then.
func (a *Arbiter) Kill(ctx context.Context, id task.ID, opts ...KillOption) (Verdict, error) {
	if client.IsFlow(id) {
		killed, err := a.KillGroup(ctx, id, opts...)
		return worst(killed, err), err
	}
	k := newKill(opts)
	if k.err != nil {
		return "", fmt.Errorf("kill task %s: %w", id, k.err)
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
	if verdicts[0] == broker.CancelUnknown {
		return "", fmt.Errorf("kill task %s: %w", id, broker.ErrNotFound)
	}
	if verdicts[0] == broker.CancelPrevented {
		// The task may be a member of a group, which must count it now. If this fails, a minion does it.
		_ = a.client.Driver().Drain(ctx, "")
	}
	killed := []Killed{{id, verdictOf(verdicts[0])}}
	if k.wait {
		err = a.awaitKilled(ctx, k, killed)
	}
	return killed[0].Verdict, err
}

func verdictOf(v broker.CancelVerdict) Verdict {
	switch v {
	case broker.CancelTooLate:
		return TooLate
	case broker.CancelRequested:
		return Stopping
	}
	return NeverStarted
}

// worst returns the verdict for a group or pipe from the verdicts of its tasks.
func worst(killed []Killed, err error) Verdict {
	if err != nil && killed == nil {
		return ""
	}
	rank := map[Verdict]int{TooLate: 0, NeverStarted: 1, Stopped: 2, Stopping: 3, Unresponsive: 4}
	all := TooLate
	for _, k := range killed {
		if rank[k.Verdict] > rank[all] {
			all = k.Verdict
		}
	}
	return all
}

// awaitKilled waits for the tasks that were told to stop, and sets their verdicts.
func (a *Arbiter) awaitKilled(ctx context.Context, k kill, killed []Killed) error {
	index := make(map[task.ID]int)
	var ids []task.ID
	for i, t := range killed {
		if t.Verdict == Stopping {
			index[t.ID], ids = i, append(ids, t.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	wait := ctx
	if k.limit > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, k.limit)
		defer cancel()
	}
	w := a.client.Watch(ids...)
	defer w.Close()
	for left := w.Len(); left > 0; {
		arrivals, err := w.Wait(wait)
		if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			for i := range killed {
				if killed[i].Verdict == Stopping {
					killed[i].Verdict = Unresponsive
				}
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("wait for killed task %s: %w", ids[0], err)
		}
		a.client.Restore(arrivals...)
		left -= len(arrivals)
		for i := range arrivals {
			verdict := TooLate
			switch arrivals[i].State {
			case broker.StateCanceled, broker.StateUnknown: // unknown: it ran, and is no longer kept
				verdict = Stopped
			}
			killed[index[arrivals[i].ID]].Verdict = verdict
		}
	}
	return nil
}
