package arbiter

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// SetMaxWaiting bounds how many tasks may wait in a queue, 1 to 1,000,000,000; 0 removes the bound. A task waits while it is
// pending, scheduled, retrying, parked or blocked. When as many tasks wait, a call is refused with a [*task.FullError], or waits if
// it has the option [task.WaitForRoom]. That holds for all calls, of arbiters and of handlers. Tasks that are stored are never
// refused: a retry, a step of a pipe whose turn comes, what a handler sends on success, or a schedule. They count, so more tasks may
// wait than the bound says.
//
// A call that was stored before, and is sent again, is not refused. If a group, pipe or squad has no room for all of its tasks, it
// is ended, and the error says so; tasks of it may have run. In a queue in partitions (redis.Partitions), each partition has an
// equal share of the bound, and all tasks with a priority, key, sequence or limit are in one of them.
//
// The bound stays until it is removed, also if no program runs. The error wraps [task.ErrInvalid], [task.ErrUnsupported] if the
// broker has no [broker.Bounder], [task.ErrUnavailable] or [task.ErrClosed].
func (a *Arbiter) SetMaxWaiting(ctx context.Context, queue string, most int) error {
	return a.bounds(queue, "set how many tasks may wait", "Arbiter.SetMaxWaiting", func(b broker.Bounder) error { return b.SetBound(ctx, queue, most) })
}

// MaxWaiting returns how many tasks may wait in a queue, 0 if that is not bounded, and how many wait now.
func (a *Arbiter) MaxWaiting(ctx context.Context, queue string) (most, waiting int, err error) {
	err = a.bounds(queue, "how many tasks may wait", "Arbiter.MaxWaiting", func(b broker.Bounder) error {
		most, waiting, err = b.Bound(ctx, queue)
		return err
	})
	return most, waiting, err
}

// bounds calls f with the broker's Bounder. The error says what was to be done, in which queue.
func (a *Arbiter) bounds(queue, what, method string, f func(broker.Bounder) error) error {
	err := a.open()
	var b broker.Bounder
	if err == nil {
		err = broker.CheckName("queue", queue)
	}
	if err == nil {
		b, err = broker.BounderOf(a.b, method)
	}
	if err == nil {
		err = f(b)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s in queue %s: %w", what, queue, err)
}
