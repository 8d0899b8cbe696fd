package client

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// AwaitTurn waits until turn is closed, while somebody else awaits the task. It takes no
// result: one that is kept for no time is for the other wait. If ctx or the client ends
// first, the error is a [*task.WaitError] with what is known of the task, as in Await.
func (c *Client) AwaitTurn(ctx context.Context, id broker.ID, turn <-chan struct{}) error {
	w := newWatch(c)
	w.one[0] = id
	w.ids = w.one[:] // its entry in the table belongs to the other wait
	c.mu.Lock()
	c.watchOver(w, ctx)
	c.mu.Unlock()
	var err error
	select {
	case <-turn:
		c.mu.Lock()
		c.vigils.leave(w)
		c.mu.Unlock()
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.done:
		err = broker.ErrClosed
	}
	ended := c.waitError(w, err)
	if ended == err { // the task is not known any more
		ended = &task.WaitError{ID: id, Err: err}
	}
	return ended
}
