package arbiter

import (
	"context"
	"fmt"
	"iter"

	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/task"
)

// WaitForTasks yields the status of each task once it is done, in the order in
// which they are done, not in that of the ids; an id that is given twice is
// yielded once. The loop ends after the last one, and may be left before. A failure is
// looked up before it is yielded, since the task may have been requeued: a success of
// the same moment may come first.
//
// A task that is unknown, because it never was or because its result is not
// kept any more, is yielded with its id alone and an error that wraps
// [task.ErrNotFound], and the loop goes on. If ctx ends, or the arbiter is
// closed, the error is yielded with an empty status, and the loop ends: it wraps a
// [*task.WaitError] that names a task that is left, and why it is not done, if that
// is known. That a
// task has failed is no error here: see [Status.Outcome] and [Status.Err].
func (a *Arbiter) WaitForTasks(ctx context.Context, ids ...task.ID) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		w := a.client.Watch(ids...)
		defer w.Close()
		for left := w.Len(); left > 0; {
			arrivals, err := w.Wait(ctx)
			if err != nil {
				yield(Status{}, fmt.Errorf("wait for %d of %d tasks: %w", left, w.Len(), err))
				return
			}
			left -= len(arrivals)
			if !a.yieldArrivals(arrivals, yield) {
				return
			}
		}
	}
}

// yieldArrivals yields what has arrived, and reports whether more is wanted. What is not
// yielded then is there for whoever asks next.
func (a *Arbiter) yieldArrivals(arrivals []client.Arrival, yield func(Status, error) bool) bool {
	for i := range arrivals {
		arrival := &arrivals[i]
		var more bool
		if arrival.State.Final() {
			more = yield(a.arrived(arrival), nil)
		} else {
			more = yield(Status{ID: arrival.ID}, arrival.Err())
		}
		if !more {
			a.client.Restore(arrivals[i+1:]...)
			return false
		}
	}
	return true
}
