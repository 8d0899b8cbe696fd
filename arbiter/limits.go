package arbiter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/limits"
	"github.com/go-arbiter/arbiter/limit"
)

// This file has the methods for operators about limits, weights and sequences. What they store belongs to a queue, which needs
// no tasks yet, and stays until it is removed. Changes have their effect at once, also for tasks that wait.

// SetLimit stores the definition of a limit of a queue, in place of an earlier one with the same name and key. Tasks name their
// limits with task.Limit.
//
// The error names the limit and wraps [task.ErrInvalid], [task.ErrUnsupported] if the broker has no limits,
// [task.ErrUnavailable] or [task.ErrClosed]. If it also wraps [task.ErrIndeterminate], the limit may be stored. The other methods
// about limits, weights and sequences return the same errors.
func (a *Arbiter) SetLimit(ctx context.Context, queue string, l limit.Limit) error {
	def, err := l.Definition()
	if err != nil {
		return fmt.Errorf("set limit: %w", err)
	}
	return a.lanes(queue, "set limit "+def.Name, "Arbiter.SetLimit", func(b broker.Lanes) error {
		return b.SetLimit(ctx, queue, def)
	})
}

// RemoveLimit removes the definition of a limit with that name and key. With the key "" it removes the one for all keys, and
// those of single keys stay. Removing a definition that does not exist is no error. A limit without a definition limits nothing.
func (a *Arbiter) RemoveLimit(ctx context.Context, queue, name, key string) error {
	return a.lanes(queue, "remove limit "+name, "Arbiter.RemoveLimit", func(b broker.Lanes) error {
		return b.RemoveLimit(ctx, queue, name, key)
	})
}

// Limits returns the definitions of a queue, sorted by name and key, with their present use.
func (a *Arbiter) Limits(ctx context.Context, queue string) (infos []broker.LimitInfo, err error) {
	err = a.lanes(queue, "limits", "Arbiter.Limits", func(b broker.Lanes) error {
		infos, err = b.LimitsIn(ctx, queue)
		return err
	})
	return infos, err
}

// DeclareLimits stores those definitions that the queue does not have yet. It is for programs that have their limits in the code,
// and call it when they start; [github.com/go-arbiter/arbiter/minion.Limits] does it for a minion.
//
// A stored definition stays, also if it is another one, since an operator may have set it. For each of these the error is, or joins,
// a [*limit.ConflictError] with both; the other limits are stored. A stored definition that is paused is not another one for that.
func (a *Arbiter) DeclareLimits(ctx context.Context, queue string, l ...limit.Limit) error {
	return a.lanes(queue, "declare limits", "Arbiter.DeclareLimits", func(b broker.Lanes) error {
		return limits.Declare(ctx, b, queue, l)
	})
}

// CloseLimit closes a limit for a time: no task that needs it is handed out before the time is over. The limit need not be
// defined. Of a limit with keys it closes one key; the key "" stands for the tasks without a key. A time of 0 or less opens it.
// A later call replaces the time of an earlier one. A handler does the same with task.LimitReached.
func (a *Arbiter) CloseLimit(ctx context.Context, queue, name, key string, d time.Duration) error {
	return a.lanes(queue, "close limit "+name, "Arbiter.CloseLimit", func(b broker.Lanes) error {
		return b.CloseLimit(ctx, queue, name, key, d)
	})
}

// SetWeight sets how often a fairness key gets its turn, 1 to 100, compared with a key of weight 1, which is the default. The key
// "" stands for tasks with another option of a lane and without a fairness key. See task.FairKey.
func (a *Arbiter) SetWeight(ctx context.Context, queue, key string, weight int) error {
	if weight < 1 || weight > broker.MaxWeight {
		return fmt.Errorf("set weight of key %q of queue %s: %w: weight %d, want 1 to %d", key, queue, broker.ErrInvalid, weight, broker.MaxWeight)
	}
	return a.lanes(queue, fmt.Sprintf("set weight of key %q", key), "Arbiter.SetWeight", func(b broker.Lanes) error {
		return b.SetWeight(ctx, queue, key, weight)
	})
}

// Weights returns the weights of a queue that were set.
func (a *Arbiter) Weights(ctx context.Context, queue string) (weights map[string]int, err error) {
	err = a.lanes(queue, "weights", "Arbiter.Weights", func(b broker.Lanes) error {
		weights, err = b.Weights(ctx, queue)
		return err
	})
	return weights, err
}

// ResumeSequence lets a sequence go on that was halted by a failure, see task.StopOnFailure. The error wraps [task.ErrNotFound] if
// the sequence is not halted.
func (a *Arbiter) ResumeSequence(ctx context.Context, queue, sequence string) error {
	return a.lanes(queue, fmt.Sprintf("resume sequence %q", sequence), "Arbiter.ResumeSequence", func(b broker.Lanes) error {
		return b.ResumeSequence(ctx, queue, sequence)
	})
}

// lanes calls f with the broker's lanes. The error says what was to be done, in which queue.
func (a *Arbiter) lanes(queue, what, method string, f func(broker.Lanes) error) error {
	err := a.open()
	var b broker.Lanes
	if err == nil {
		err = broker.CheckName("queue", queue)
	}
	if err == nil {
		b, err = broker.LanesOf(a.b, method)
	}
	if err == nil {
		err = f(b)
	}
	var conflict *limit.ConflictError
	if err == nil || errors.As(err, &conflict) { // which names the queue
		return err
	}
	return fmt.Errorf("%s of queue %s: %w", what, queue, err)
}
