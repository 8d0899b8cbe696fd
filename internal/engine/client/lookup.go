package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// This file looks up tasks that somebody waits for. That happens at once for a task that this
// client did not send, and for all tasks after a gap in the inbox. Otherwise it happens from
// time to time, so that a lost push delays a result by seconds and no wait hangs.
//
// When the broker can't be reached, look-ups are repeated with growing pauses as long as anybody
// waits. The pauses apply to all tasks, since they share the broker.
//
// One goroutine looks up at a time, and only while there is something to look up. Tasks that
// become due meanwhile share its next look-up. A timer, which is shared with checks, starts it
// when an entry of the table becomes due.

const (
	// timedParts is how many look-ups, of up to MaxBatch tasks each, are sent without a pause
	// for tasks whose time has come. The rest waits for lookupPause, so that a million waits do
	// not flood the broker.
	timedParts  = 4
	lookupPause = 250 * time.Millisecond
)

// schedule starts lookUpDue if one is due, or sets the timer for it. c.mu is held.
func (c *Client) schedule(now time.Time) {
	if c.lookingUp || c.closed {
		return
	}
	if c.table.levels[levelNow].Len() > 0 {
		c.lookingUp = c.spawn(func() { c.lookUpDue(false) })
		return
	}
	if at, ok := c.table.nextDue(); ok {
		c.arm(at, now)
	}
}

// arm sets the timer, unless it fires earlier anyway. c.mu is held. Nobody stops the timer when
// waits end: if it finds nothing to do it is not set again, and that is cheaper than setting
// and stopping it for each wait.
func (c *Client) arm(at, now time.Time) {
	if !c.armed.IsZero() && !at.Before(c.armed) {
		return
	}
	c.armed = at
	if c.timer == nil {
		c.timer = time.AfterFunc(at.Sub(now), c.onTimer)
		return
	}
	c.timer.Reset(at.Sub(now))
}

// onTimer starts the check and the look-up that are due.
func (c *Client) onTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = time.Time{}
	if c.closed {
		return
	}
	now := time.Now()
	c.scheduleCheck(now)
	if at, ok := c.table.nextDue(); ok && !c.lookingUp {
		if at.After(now) { // it fired for a check, or the outcome of the task that was due has come
			c.arm(at, now)
		} else {
			c.lookingUp = c.spawn(func() { c.lookUpDue(true) })
		}
	}
}

// lookUpDue looks up tasks until none is due. timed says whether it was started by the timer:
// then it includes tasks whose time has come, and otherwise only those of levelNow.
func (c *Client) lookUpDue(timed bool) {
	var ids []broker.ID
	parts, try := 0, 0
	// most is how many tasks one request looks up. It shrinks after a reply that did not come.
	most := broker.MaxBatch
	for {
		now := time.Now()
		c.mu.Lock()
		// Tasks of levelNow are always included. Tasks whose time has come are for the first
		// few requests only.
		ids = c.table.due(ids[:0], most, now, timed && parts < timedParts)
		if len(ids) == 0 {
			c.lookingUp = false
			if at, ok := c.table.nextDue(); ok && !c.closed {
				if least := now.Add(lookupPause); timed && at.Before(least) {
					at = least
				}
				c.arm(at, now)
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()

		found, err := c.find(ids)
		switch {
		case err == nil:
			if try > 0 {
				c.log.Info("results can be looked up again")
			}
			parts, try = parts+1, 0
			most = min(2*most, broker.MaxBatch)
			now = time.Now()
			c.mu.Lock()
			for i := range found {
				c.table.found(ids[i], &found[i], now)
			}
			c.mu.Unlock()
		case errors.Is(err, broker.ErrClosed):
			c.endWaits(err)
			c.stopLookingUp()
			return
		default:
			if try == 0 && c.ctx.Err() == nil {
				c.log.Warn("results can't be looked up, trying again", "error", err)
			}
			if errors.Is(err, broker.ErrIndeterminate) {
				// The reply may be too large to arrive within the time limit of the connection.
				most = max(most/4, 1)
			}
			if !backoff.Sleep(c.ctx, backoff.Delay(try, fastest, slowest)) {
				c.stopLookingUp()
				return
			}
			try++
		}
	}
}

// find looks tasks up. If the broker loses no push, find also asks for the pushes of the tasks
// that are not done, and looks these up once more, because they may have ended in between. Such
// a task need not be looked up again. Other ids are not followed: the broker would remember for
// ever an id that nobody has sent.
func (c *Client) find(ids []broker.ID) ([]broker.Status, error) {
	found, err := c.lookup(c.ctx, ids)
	if err != nil || c.follow == nil {
		return found, err
	}
	// Only tasks that exist and are not final are followed.
	var live []broker.ID
	var positions []int
	for i := range found {
		if st := found[i].State; st != broker.StateUnknown && !st.Final() {
			live, positions = append(live, ids[i]), append(positions, i)
		}
	}
	if len(live) == 0 {
		return found, nil
	}
	if err := c.openInbox(c.ctx); err != nil {
		return nil, err
	}
	if err := c.follow.Follow(c.ctx, c.inbox.id, live); err != nil {
		return nil, err
	}
	// A task that has ended before Follow is pushed to nobody, so its outcome is looked up
	// here.
	again, err := c.lookup(c.ctx, live)
	if err != nil {
		return nil, err
	}
	for i, position := range positions {
		found[position] = again[i]
	}
	return found, nil
}

// lookup looks tasks up, and checks that the broker has answered for all.
func (c *Client) lookup(ctx context.Context, ids []broker.ID) ([]broker.Status, error) {
	found, err := c.b.Lookup(ctx, ids)
	if err == nil && len(found) != len(ids) {
		err = fmt.Errorf("the broker answered for %d tasks of %d", len(found), len(ids))
	}
	return found, err
}

// stopLookingUp notes that lookUpDue has ended.
func (c *Client) stopLookingUp() {
	c.mu.Lock()
	c.lookingUp = false
	c.mu.Unlock()
}
