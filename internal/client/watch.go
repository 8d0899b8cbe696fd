package client

import (
	"context"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Watch waits for the ends of tasks. It is for one goroutine.
type Watch struct {
	c      *Client
	ids    []broker.ID
	ready  []Arrival     // guarded by c.mu
	signal chan struct{} // holds a token if ready may have something
	one    [1]broker.ID  // ids of a wait for a single task

	// Of a Wait under way; guarded by c.mu.
	vigil      *vigil    // nil if there is none
	prev, next *Watch    // in it
	begun      time.Time // when the wait is about to begin; zero if that is to be asked
	since      time.Time
	until      time.Time // when its context ends; zero if it does not
	due        time.Time // when it is to be checked
	checks     int       // how many there were since something has changed
	at         int       // where in ids the next check begins
	seen       *sighting // what the last check has found; nil if there was none
}

func newWatch(c *Client) *Watch {
	return &Watch{c: c, signal: make(chan struct{}, 1)}
}

// Watch begins a wait for tasks, each of which arrives once, however often it is
// given. Whoever calls it calls Close in the end.
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
	// Not all in one go: others need the table too.
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

// Len returns how many arrivals there will be in all.
func (w *Watch) Len() int { return len(w.ids) }

// put hands over an arrival. c.mu is held.
func (w *Watch) put(a Arrival) {
	w.ready = append(w.ready, a)
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// Wait waits for arrivals and returns all there are since the last time, at
// least one. The error is ctx's or ErrClosed, in a [*task.WaitError] if it is known of
// which task to speak. A failure that was told is looked up, since the task may have been
// requeued; if that fails until the wait ends, it is returned as it was told.
func (w *Watch) Wait(ctx context.Context) ([]Arrival, error) {
	c := w.c
	for {
		c.mu.Lock()
		ready := w.ready
		w.ready = nil
		if len(ready) > 0 {
			c.vigils.leave(w)
		} else if w.vigil == nil {
			c.watchOver(w, ctx)
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
		c.table.settle(w)
		more := len(w.ready) > 0
		c.mu.Unlock()
		if !more {
			return nil, c.waitError(w, why)
		}
	}
}

// Close ends the wait for what has not arrived.
func (w *Watch) Close() {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.c.vigils.leave(w)
	for _, id := range w.ids {
		w.c.table.unwait(id, w)
	}
	// What arrived and was not read is there for the next who asks.
	for _, a := range w.ready {
		w.c.table.restore(a)
	}
	w.ids, w.ready = nil, nil
}

// Restore puts arrivals back, for whoever asks for these tasks next.
func (c *Client) Restore(arrivals ...Arrival) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range arrivals {
		c.table.restore(a)
	}
}
