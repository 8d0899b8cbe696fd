package client

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/seal"
	"github.com/go-arbiter/arbiter/task"
)

// waitError ends the vigil of a watch, and returns the error of its wait: err, and what
// is known of the task that it waits for.
func (c *Client) waitError(w *Watch, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vigils.leave(w)
	e := &task.WaitError{Err: err}
	g, r := w.seen, c.roster
	if g == nil {
		g = c.guess(w)
	}
	if g == nil {
		return err
	}
	e.ID, e.Name, e.Queue, e.State, e.Due = g.asked, g.of.Name, g.of.Queue, g.status.State, g.status.Due
	if g.asked != g.status.ID {
		e.Name = "" // that of the task in the group or pipe is in the reason
	}
	if f := seal.OpenLastFailure(c.codecs, g.status.ID, g.status.Failed); f != nil {
		o := broker.Outcome{Name: g.of.Name, Attempts: f.Attempt, Err: &f.Err}
		e.LastFailure = task.NewRemoteError(g.status.ID, &o)
	}
	if !g.at.IsZero() {
		e.Reason, e.Seen, e.Stuck = c.reason(g, r), g.at, g.ill.why != noTrouble
	}
	return e
}

// guess returns what is known of the task of a watch that was not checked, nil if it is
// for several. It is none of its own, but what the last look-up and the last roster say.
func (c *Client) guess(w *Watch) *sighting {
	var first *sighting
	r := c.roster
	if r != nil && r.at.Before(w.since.Add(-checkAfter)) {
		r = nil // too old
	}
	for _, id := range w.ids[:min(len(w.ids), broker.MaxBatch)] {
		e := c.table.entries.get(id)
		if e == nil || e.watch == nil {
			continue
		}
		g := &sighting{asked: id, of: e.of, status: broker.Status{ID: id, State: e.state}}
		if e.state != broker.StateUnknown {
			g.at = w.since // or later
		}
		if r != nil && e.state != broker.StateRunning {
			if g.ill = r.troubleOf(e.of); g.ill.why != noTrouble {
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

// reason says why a task is not done, and why its last attempt has failed.
func (c *Client) reason(g *sighting, r *roster) string {
	return c.place(g, r) + failed(g.status.Failed)
}

// place says where a task is, and what keeps it from being run.
func (c *Client) place(g *sighting, r *roster) string {
	st := &g.status
	text := "it is "
	if g.asked != st.ID {
		text = task.Title(st.ID, g.of.Name) + " in it is "
	}
	text += st.State.String()
	if st.State == broker.StateUnknown {
		text = "it was sent"
	}
	if st.State == broker.StateBlocked {
		text += ", for it waits for other tasks,"
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
		return text + running(st)
	}
	if g.of.Queue != "" {
		to := " in queue "
		if st.State == broker.StateUnknown {
			to = " to queue "
		}
		text += to + strconv.Quote(g.of.Queue)
	}
	if g.ill.why != noTrouble && r != nil {
		return text + ", " + r.tell(g.ill)
	}
	if r != nil && (st.State == broker.StatePending || st.State == broker.StateParked) {
		if s := r.queues[g.of.Queue]; s != nil {
			text += s.load()
		}
	}
	return text
}

// maxTold is how many bytes of a failure's message are in a reason. LastFailure has more.
const maxTold = 200

// failed completes a reason with the last failure of the task, if an attempt has failed.
func failed(f *broker.LastFailure) string {
	if f == nil {
		return ""
	}
	text := fmt.Sprintf("; attempt %d failed", f.Attempt)
	if said := oneLine(f.Err.Message, maxTold); said != "" {
		text += ": " + said
	}
	return text
}

// oneLine returns a text without its line breaks, and cuts it between characters if it
// has more than limit bytes.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= limit {
		return text
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// running says where and how a task runs.
func running(st *broker.Status) string {
	text := ""
	if st.Attempt > 0 {
		text += fmt.Sprintf(", attempt %d", st.Attempt)
	}
	if !st.Minion.IsZero() {
		text += ", at minion " + st.Minion.String()
	}
	return text
}

// load says how busy the minions of a queue are.
func (s *service) load() string {
	return fmt.Sprintf(" (minions: %d, busy slots: %d of %d)", s.minions, s.active, s.slots)
}
