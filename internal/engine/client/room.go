package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// A queue with a bound refuses tasks while it is full. A call with the option WaitForRoom is then sent
// again, after pauses, until there is room or its context ends.

const (
	// The pauses between two tries to send a call to a full queue.
	leastRoomPause = 20 * time.Millisecond
	mostRoomPause  = time.Second
)

// waitForRoom sends those calls again for which the queue had no room and that wait for it. err is the error
// of the submission so far. Calls that are groups or pipes have waited already, and were ended.
func (c *Client) waitForRoom(ctx context.Context, from *Child, calls []task.Bound, err error) error {
	for try := 0; ; try++ {
		var all *task.SubmitError
		if !errors.As(err, &all) {
			return err
		}
		var again []task.Bound
		var at []int // the positions in all.Failed of these calls
		for i, f := range all.Failed {
			if req := requestOf(calls[f.Index]); errors.Is(f.Err, broker.ErrFull) && req.WaitsForRoom() && req.Flow() == nil {
				again, at = append(again, calls[f.Index]), append(at, i)
			}
		}
		if len(again) == 0 {
			return err
		}
		if why := c.pauseForRoom(ctx, try); why != nil {
			for _, i := range at {
				f := &all.Failed[i]
				f.Err = fmt.Errorf("not sent: %w while it waited for room: %w", why, f.Err)
			}
			return err
		}
		failed := make(map[int]error)
		var rest *task.SubmitError
		if next := c.submitOnce(ctx, from, again); errors.As(next, &rest) {
			for _, f := range rest.Failed {
				failed[at[f.Index]] = f.Err
			}
		}
		left := make([]task.FailedCall, 0, len(all.Failed))
		sent := make(map[int]bool, len(at))
		for _, i := range at {
			sent[i] = failed[i] == nil
		}
		for i, f := range all.Failed {
			if sent[i] {
				continue
			}
			if why := failed[i]; why != nil {
				f.Err = why
			}
			left = append(left, f)
		}
		if len(left) == 0 {
			return nil
		}
		err = &task.SubmitError{Failed: left, Total: all.Total}
	}
}

// pauseForRoom waits for a moment. It returns why that ended early, or nil.
func (c *Client) pauseForRoom(ctx context.Context, try int) error {
	timer := time.NewTimer(backoff.Delay(try, leastRoomPause, mostRoomPause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closing:
		return c.shut
	}
}

// sendPatiently is for the tasks of a flow that waits for room. errs are the errors of a first request; it
// returns those of the last one for each task.
func (c *Client) sendPatiently(ctx context.Context, tasks []*broker.Task, errs []error) []error {
	for try := 0; ; try++ {
		var again []*broker.Task
		var at []int
		for i, err := range errs {
			if errors.Is(err, broker.ErrFull) {
				again, at = append(again, tasks[i]), append(at, i)
			}
		}
		if len(again) == 0 || c.pauseForRoom(ctx, try) != nil {
			return errs
		}
		next := c.sender.send(ctx, again, time.Now())
		for i, position := range at {
			errs[position] = nil
			if next != nil {
				errs[position] = next[i]
			}
		}
	}
}
