package arbiter

import (
	"context"
	"fmt"
	"iter"

	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
)

// WaitForTasks yields the status of each task as soon as it is done, in that order and not in the order of the ids. An id that
// is given twice is yielded once. The loop ends after the last task, and can be left earlier. A failure is looked up before
// it is yielded, since the task may have been requeued; so a task that succeeds at the same moment may be yielded first.
//
// A task that is unknown or no longer kept is yielded with only its id and an error that wraps [task.ErrNotFound], and the
// loop goes on. If ctx ends, or the arbiter is closed, an error is yielded with an empty status, and the loop ends. This
// error wraps a [*task.WaitError] that names one of the tasks that are left, and tells why it is not done, if that is
// known. A task that has failed is not an error of the loop: see [Status.State] and [Status.Err].
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

// yieldArrivals yields the tasks, and reports whether the caller wants more. If not, the rest is given back, so that the next
// wait returns them.
func (a *Arbiter) yieldArrivals(arrivals []client.Completion, yield func(Status, error) bool) bool {
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
