package client

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// AwaitTurn lets several goroutines of a process wait for one task of which only one may take
// the result. One of them awaits the task. The others wait for that one, but with checks and
// errors as if they awaited the task themselves.

// AwaitTurn waits until turn is closed, which says that another goroutine has awaited the task.
// It does not take the result, because a result with no retention is delivered once. If ctx or
// the client ends first, the error is a [*task.WaitError] with the state of the task, as in
// Await.
func (c *Client) AwaitTurn(ctx context.Context, id broker.ID, turn <-chan struct{}) error {
	w := newWatch(c)
	w.one[0] = id
	w.ids = w.one[:] // only for checks: the task's entry in the table belongs to the other wait
	c.mu.Lock()
	c.scheduleFirstCheck(ctx, w)
	c.mu.Unlock()
	var err error
	select {
	// The result is there: no error to explain.
	case <-turn:
		c.mu.Lock()
		c.waits.remove(w)
		c.mu.Unlock()
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.done:
		err = c.why
	}
	ended := c.waitError(w, err)
	if ended == err { // nothing is known of the task
		ended = &task.WaitError{ID: id, Err: err}
	}
	return ended
}
