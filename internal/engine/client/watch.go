package client

import (
	"context"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/list"
)

// A Watch is a wait for several tasks. Each task has an entry in the table that points to the
// waits for it. When its outcome arrives, the table appends it to Watch.ready of each and puts
// a token into the signal channel, so a wait sleeps on one channel however many tasks it is
// for.

// Watch waits for the outcomes of tasks. It is for use by one goroutine.
type Watch struct {
	c   *Client
	ids []broker.ID
	// ready has the completions that Wait has not returned yet. c.mu guards it. signal has a
	// token if ready may have something.
	ready  []Completion
	signal chan struct{}
	one    [1]broker.ID // memory of ids for a wait for a single task

	// The fields below belong to a Wait under way, and are guarded by c.mu.
	list.Links[Watch]
	checkList *checkList // the list that it is in; nil if it has no checks
	// begun is when the wait begins; zero if the clock is to be read. since is when its checks
	// began, and until when its context ends; zero if it does not.
	begun time.Time
	since time.Time
	until time.Time
	// due is the time of the next check, and at the index in ids at which that begins. checks
	// counts the checks since something has changed.
	due    time.Time
	checks int
	at     int
	seen   *finding // result of the last check; nil if there was none
}

// newWatch returns a watch for no tasks.
func newWatch(c *Client) *Watch {
	return &Watch{c: c, signal: make(chan struct{}, 1)}
}

// Watch begins a wait for tasks. Each id is completed once, however often it is given. The
// caller must call Close in the end.
func (c *Client) Watch(ids ...broker.ID) *Watch {
	w := newWatch(c)
	seen := make(map[broker.ID]struct{}, len(ids))
	w.ids = make([]broker.ID, 0, len(ids))
	for _, id := range ids {
		if _, dup := seen[id]; !dup {
			seen[id] = struct{}{}
			w.ids = append(w.ids, id)
		}
	}
	now := time.Now()
	// In parts, because other goroutines need the table, too.
	for part := range slices.Chunk(w.ids, broker.MaxBatch) {
		c.mu.Lock()
		for _, id := range part {
			if a, ok := c.table.take(id); ok {
				w.put(a)
			} else {
				c.table.wait(id, w, now)
			}
		}
		c.schedule(now)
		c.mu.Unlock()
	}
	return w
}

// Len returns how many completions there will be in total.
func (w *Watch) Len() int { return len(w.ids) }

// put adds a completion. c.mu is held.
func (w *Watch) put(a Completion) {
	w.ready = append(w.ready, a)
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// Wait waits for completions and returns all that have come since the last call, at least one.
// The error is ctx's or ErrClosed. It is in a [*task.WaitError] if there is a task to report
// on. A failure that was pushed is looked up before it is returned, since the task may have
// been requeued. If the look-up does not succeed before the wait ends, the failure is returned
// as it was pushed.
func (w *Watch) Wait(ctx context.Context) ([]Completion, error) {
	c := w.c
	for {
		c.mu.Lock()
		// The checks of a wait pause while its results are with the caller.
		ready := w.ready
		w.ready = nil
		if len(ready) > 0 {
			c.waits.remove(w)
		} else if w.checkList == nil {
			c.scheduleFirstCheck(ctx, w)
		}
		c.mu.Unlock()
		if len(ready) > 0 {
			for i := range ready {
				ready[i].read()
			}
			return ready, nil
		}
		var why error
		select {
		case <-w.signal:
			continue
		case <-ctx.Done():
			why = ctx.Err()
		case <-c.done:
			why = c.why
		}
		c.mu.Lock()
		// The wait ends. Failures that came but could not be looked up are better than no
		// result.
		c.table.giveKept(w)
		more := len(w.ready) > 0
		c.mu.Unlock()
		if !more {
			return nil, c.waitError(w, why)
		}
	}
}

// Close ends the wait for the tasks that are not completed.
func (w *Watch) Close() {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.c.waits.remove(w)
	for _, id := range w.ids {
		w.c.table.unwait(id, w)
	}
	// Completions that Wait has not returned are kept for the next wait.
	for _, a := range w.ready {
		w.c.table.restore(a)
	}
	w.ids, w.ready = nil, nil
}

// Restore puts completions back, for the next wait for these tasks.
func (c *Client) Restore(completions ...Completion) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range completions {
		c.table.restore(a)
	}
}
