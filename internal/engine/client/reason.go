package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/cut"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/internal/engine/title"
	"github.com/go-arbiter/arbiter/task"
)

// This file words the error of a wait that ends without a result: a [task.WaitError] that says
// where the task is, why no minion runs it, and why its last attempt failed. All of that comes
// from the last check of the wait. A wait that ends before its first check uses the table and
// the last list of minions instead.

// waitError ends the checks of a wait, and returns its error: err together with the state of
// the task. It returns err itself if nothing is known.
func (c *Client) waitError(w *Watch, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits.remove(w)
	e := &task.WaitError{Err: err}
	// The finding of a check is best. Without one, guess looks at the table.
	g, r := w.seen, c.minions
	if g == nil {
		g = c.guess(w)
	}
	if g == nil {
		return err
	}
	e.ID, e.Name, e.Queue, e.State, e.Due = g.asked, g.label.Name, g.label.Queue, g.status.State, g.status.Due
	if g.asked != g.status.ID {
		e.Name = "" // the reason has the name of the task inside the flow
	}
	// The task's last failure, if it is being retried.
	if f := seal.OpenLastFailure(c.codecs, g.status.ID, g.status.Failed); f != nil {
		o := broker.Outcome{Name: g.label.Name, Attempts: f.Attempt, Err: &f.Err}
		e.LastFailure = task.NewRemoteError(g.status.ID, &o)
	}
	if !g.at.IsZero() {
		e.Reason, e.Seen, e.Stuck = c.reason(g, r), g.at, g.obstacle.why != noObstacle
	}
	return e
}

// guess returns the state of the task of a wait that was not checked itself, from the last
// look-up and the last list of minions. It returns nil if the wait is for several tasks and no
// obstacle is known for any.
func (c *Client) guess(w *Watch) *finding {
	var first *finding
	r := c.minions
	if r != nil && r.at.Before(w.since.Add(-checkAfter)) {
		r = nil // too old to rely on
	}
	// A task that no minion can run explains the wait best. Otherwise a single task is reported
	// as it was last seen.
	for _, id := range w.ids[:min(len(w.ids), broker.MaxBatch)] {
		e := c.table.entries.get(id)
		if e == nil || e.watch == nil {
			continue
		}
		g := &finding{asked: id, label: e.label, status: broker.Status{ID: id, State: e.state}}
		if e.state != broker.StateUnknown {
			g.at = w.since // the look-up was then or later
		}
		if r != nil && e.state != broker.StateRunning {
			if g.obstacle = r.obstacleFor(e.label); g.obstacle.why != noObstacle {
				g.at = r.at
				return g
			}
		}
		if first == nil {
			first = g
		}
	}
	if len(w.ids) == 1 {
		return first
	}
	return nil
}

// reason says why a task is not done, and why its last attempt failed.
func (c *Client) reason(g *finding, r *minionSummary) string {
	return c.stateText(g, r) + failureText(g.status.Failed)
}

// stateText says in which state and queue a task is, and why it can't run if it can't.
func (c *Client) stateText(g *finding, r *minionSummary) string {
	st := &g.status
	text := "it is "
	if g.asked != st.ID {
		text = title.Of(st.ID, g.label.Name) + " in it is "
	}
	text += st.State.String()
	if st.State == broker.StateUnknown {
		text = "it was sent"
	}
	if st.State == broker.StateBlocked {
		text += " because it waits for other tasks,"
	}
	if !st.Due.IsZero() {
		switch at := st.Due.UTC().Format(time.RFC3339); st.State {
		case broker.StateScheduled:
			text += " until " + at
		case broker.StateRetrying:
			text += ", next at " + at + ","
		case broker.StateParked:
			text += " until " + at
		}
	}
	if st.State == broker.StateRunning {
		return text + runningText(st)
	}
	if g.label.Queue != "" {
		to := " in queue "
		if st.State == broker.StateUnknown {
			to = " to queue "
		}
		text += to + strconv.Quote(g.label.Queue)
	}
	if g.obstacle.why != noObstacle && r != nil {
		return text + ", " + r.describe(g.obstacle)
	}
	if r != nil && (st.State == broker.StatePending || st.State == broker.StateParked) {
		if s := r.queues[g.label.Queue]; s != nil {
			text += s.loadText()
		}
	}
	return text
}

// maxTold bounds the bytes of a failure's message in a reason. LastFailure has the whole
// message.
const maxTold = 200

// failureText returns the end of a reason: the last failure of the task, or nothing if no
// attempt has failed.
func failureText(f *broker.LastFailure) string {
	if f == nil {
		return ""
	}
	text := fmt.Sprintf("; attempt %d failed", f.Attempt)
	if said := oneLine(f.Err.Message, maxTold); said != "" {
		text += ": " + said
	}
	return text
}

// oneLine returns a text without line breaks, cut to limit bytes.
func oneLine(text string, limit int) string {
	return cut.To(strings.Join(strings.Fields(text), " "), limit)
}

// runningText says which attempt runs, and at which minion.
func runningText(st *broker.Status) string {
	text := ""
	if st.Attempt > 0 {
		text += fmt.Sprintf(", attempt %d", st.Attempt)
	}
	if !st.Minion.IsZero() {
		text += ", at minion " + st.Minion.String()
	}
	return text
}

// loadText says how busy the minions of a queue are.
func (s *queueSummary) loadText() string {
	return fmt.Sprintf(" (minions: %d, busy slots: %d of %d)", s.minions, s.active, s.slots)
}
