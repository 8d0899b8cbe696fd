package arbiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/task"
)

// Verdict says what [Arbiter.Kill] found.
type Verdict string

// The verdicts.
const (
	NeverStarted Verdict = "never started" // it waited; it is canceled and never starts
	Stopping     Verdict = "stopping"      // it runs, and its minion has been told
	Stopped      Verdict = "stopped"       // it ran, and has ended as canceled
	TooLate      Verdict = "too late"      // it was done before, or finished all the same
	Unresponsive Verdict = "unresponsive"  // it ran, and has not ended in the time of WaitFor
)

// KillOption changes what [Arbiter.Kill] and [Arbiter.KillGroup] do.
type KillOption interface {
	applyKill(*kill)
}

type kill struct {
	err   error
	wait  bool
	limit time.Duration // 0 is none
}

type killFunc func(*kill)

func (f killFunc) applyKill(k *kill) { f(k) }

// Wait lets Kill return only when the task is done. The default is to return
// when the broker has marked it.
func Wait() KillOption { return killFunc(func(k *kill) { k.wait = true }) }

// WaitFor is [Wait] for no longer than d. A task that has not ended then is
// Unresponsive: its handler ignores its context, or its minion is gone.
func WaitFor(d time.Duration) KillOption {
	return killFunc(func(k *kill) {
		if d < 0 {
			k.err = fmt.Errorf("%w option: WaitFor(%v), want 0 or more", broker.ErrInvalid, d)
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

// Kill ends a task, whoever sent it. One that waits for a minion, for its time,
// for others or for a retry is canceled when Kill returns and never starts. Of
// one that runs, the handler's context is cancelled within a second, with
// [task.ErrCanceled] as its cause; it is canceled when the handler returns an
// error, has succeeded if the handler returns none, and is not retried either
// way. Killing a task again is harmless.
//
// The id can be that of a group or pipe. Then Kill is [Arbiter.KillGroup], and
// the verdict that of all its tasks: Unresponsive, Stopping or Stopped if one is,
// else NeverStarted if one is, else TooLate.
//
// The error wraps [task.ErrInvalid] if an option can't be, and then nothing is
// done, [task.ErrNotFound] if the task is unknown, [task.ErrUnavailable] or [task.ErrClosed]; with [Wait] it can be ctx's, and
// the verdict is Stopping then.
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
		// It may have been a member of a group. If this fails, a minion does it.
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

// worst returns the verdict of tasks together.
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

// awaitKilled waits for the ends of those tasks that were told to stop, and sets
// their verdicts.
func (a *Arbiter) awaitKilled(ctx context.Context, k kill, killed []Killed) error {
	place := make(map[task.ID]int)
	var ids []task.ID
	for i, t := range killed {
		if t.Verdict == Stopping {
			place[t.ID], ids = i, append(ids, t.ID)
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
			case broker.StateCanceled, broker.StateUnknown: // it ran, and isn't kept
				verdict = Stopped
			}
			killed[place[arrivals[i].ID]].Verdict = verdict
		}
	}
	return nil
}
