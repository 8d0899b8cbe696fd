package broker

import (
	"context"
	"errors"
	"fmt"
)

// Bounder is an optional capability: a queue refuses new tasks while too many wait. [BounderOf]
// returns the Bounder of a Broker. A broker without it has no bounds, and ignores
// [Task].Bounded.
//
// A task waits if it is neither running nor final: it is pending, scheduled, retrying, parked or
// blocked. Enqueue refuses a task with Bounded set, with a *[FullError], if as many tasks wait in
// its queue as the bound says. The tasks of a batch are checked in their order, so as many are
// stored as there is room for. A task that is stored already is not refused, and one that takes
// the place of another one that waits ([ConflictReplace], [ConflictLatest], [ConflictCancel]) needs no room. If
// its unique key is taken, the error is the *DuplicateError.
//
// Nothing else is refused: a task without Bounded, a release, a task that comes back. All of
// these count, so more tasks may wait than the bound says. Of tasks with Bounded set that are
// enqueued at the same time, no more are stored than there is room for.
//
// A broker that keeps a queue in parts may give each part an equal share of the bound, and
// refuse a task when the share of its part is used up.
//
// A bound belongs to its queue and stays until it is removed; a queue with a bound is not
// forgotten. It may be set before the queue has a task. It has its effect on the next Enqueue;
// tasks that wait stay.
type Bounder interface {
	// SetBound sets how many tasks may wait in a queue, 1 to MaxBound. 0 removes the bound.
	SetBound(ctx context.Context, queue string, most int) error
	// Bound returns the bound of a queue, 0 if it has none, and how many tasks wait there. A
	// queue that is not known has neither.
	Bound(ctx context.Context, queue string) (most, waiting int, err error)
}

// MaxBound is the largest bound of a queue.
const MaxBound = 1_000_000_000

// ErrFull is wrapped by the error of an enqueue of a task for which its queue has no room; see
// [FullError].
var ErrFull = errors.New("queue is full")

// FullError is the error of an enqueue of a task for which its queue has no room. It wraps
// [ErrFull].
type FullError struct {
	Queue   string
	Most    int // how many tasks may wait; of a part of the queue, if the broker divides the bound
	Waiting int // how many waited
}

// Error names the queue, both numbers and the remedy.
func (e *FullError) Error() string {
	return fmt.Sprintf("queue %s is full: %d tasks wait, and at most %d may; send the task later, or raise the bound", e.Queue, e.Waiting, e.Most)
}

// Unwrap returns [ErrFull].
func (e *FullError) Unwrap() error { return ErrFull }

// BounderOf returns the broker as a [Bounder], or an error as [FlowsOf] does.
func BounderOf(b Broker, what string) (Bounder, error) {
	return capability[Bounder](b, what, "Bounder")
}

// CheckBound reports whether a bound is valid. The error wraps [ErrInvalid].
func CheckBound(queue string, most int) error {
	if err := CheckName("queue", queue); err != nil {
		return err
	}
	if most < 0 || most > MaxBound {
		return fmt.Errorf("bound of queue %s: %w: %d, want 1 to %d, or 0 for none", queue, ErrInvalid, most, MaxBound)
	}
	return nil
}
