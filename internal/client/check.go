package client

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A check finds out why waits do not end. It asks the broker once which minions live and once
// for the states of tasks, on behalf of all waits that are due: waits that have lasted five
// seconds, and before that waits whose contexts end soon. The result becomes part of the error
// of a wait (see waitError). If no minion can run a task, the check also logs that, in one line
// for all such tasks of a queue.
//
// One goroutine checks at a time, and none runs while no wait is old enough. So checks cost
// nothing where results come soon.

const (
	// checkPause is the shortest time between two checks.
	checkPause = 100 * time.Millisecond
	// maxChecked bounds how many tasks of waits one check looks at. Waits beyond that are due
	// for the next check.
	maxChecked = 10 * broker.MaxBatch
	// maxReports is how often a trouble is logged where no push is lost and no minion lives. In
	// such a process nothing but a new wait or a new minion can change anything. Without a
	// bound, the time in a bubble of testing/synctest would run for ever.
	maxReports = 10
)

// sighting is the finding of a check about a task that a wait is for.
type sighting struct {
	asked  broker.ID // the id in the wait: of the task, or of a flow around it
	of     *kind // of the task
	status broker.Status
	ill    trouble // the reason why it can't run
	at     time.Time // when it was found
}

// watchOver schedules the first check of a wait. c.mu is held.
func (c *Client) watchOver(w *Watch, ctx context.Context) {
	now := w.begun
	if w.begun = (time.Time{}); now.IsZero() {
		now = time.Now()
	}
	until, _ := ctx.Deadline()
	c.vigils.join(w, now, until)
	if w.vigil != &c.vigils.levels[vigilRest] && !c.checking && !c.closed {
		c.arm(w.due, now)
	}
}

// scheduleCheck starts a check if one is due, or sets the timer for it. c.mu is held.
func (c *Client) scheduleCheck(now time.Time) {
	at, ok := c.vigils.nextDue()
	if !ok || c.checking || c.closed {
		return
	}
	if at.After(now) {
		c.arm(at, now)
		return
	}
	c.checking = c.spawn(c.check)
}

// check does one check: it takes the waits that are due, looks up their tasks, stores the
// findings in the waits, and logs troubles.
func (c *Client) check() {
	// The broker is asked without the lock. If it can't list the minions, the waits are put off
	// to their next checks, and nothing is reported.
	began := time.Now()
	minions, err := c.b.Minions(c.ctx)
	var r *roster
	if err == nil {
		r = newRoster(minions, began)
	}
	c.mu.Lock()
	c.roster = r
	s := c.survey(r, began)
	c.mu.Unlock()
	if r != nil {
		c.see(s)
		c.report(s)
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checking = false
	if at, ok := c.vigils.nextDue(); ok && !c.closed {
		if least := now.Add(checkPause); at.Before(least) {
			at = least
		}
		c.arm(at, now)
	}
}

// survey is the state of one check.
type survey struct {
	roster *roster
	at     time.Time
	cases  []checked // tasks that are looked up
	ills   map[trouble]*ill
	// parked has, by queue, the needs of the queue's parked tasks. It has only queues of tasks
	// in cases.
	parked map[string][]broker.Parked
}

// checked is a task that a check looks up for a wait.
type checked struct {
	w     *Watch
	asked broker.ID // the id in the wait: of the task, or of a flow around it
	id    broker.ID
	of    *kind
	old   bool // the wait has lasted long enough for a log line
}

// ill counts the tasks that have a trouble.
type ill struct {
	tasks   int // among those that the check looked at
	example broker.ID // a task of them that is pending or parked; zero if none is known
	name    string // of example
	last    bool // the trouble is not logged again unless something changes
}

// survey takes the waits that are due, schedules their next checks, and chooses the tasks to
// look up. Tasks with a known trouble come first. c.mu is held.
func (c *Client) survey(r *roster, now time.Time) *survey {
	s := &survey{roster: r, at: now, ills: make(map[trouble]*ill)}
	var others []checked // tasks without a known trouble
	// Each wait continues where its last check has stopped, so that a wait for many tasks has
	// all of them checked in turn.
	for seen := 0; seen < maxChecked; {
		w := c.vigils.take(now)
		if w == nil {
			break
		}
		old := now.Sub(w.since) >= checkAfter
		seen++
		for n := 0; n < len(w.ids) && seen < maxChecked; n++ {
			w.at = (w.at + 1) % len(w.ids)
			id := w.ids[w.at]
			seen++
			e := c.table.entries.get(id)
			if e == nil || e.watch == nil || r == nil {
				continue // it has arrived, or no minions are known
			}
			one := checked{w: w, asked: id, id: id, of: e.of, old: old}
			if ill := r.troubleOf(e.of); ill.why != noTrouble {
				s.count(ill)
				if len(s.cases) < broker.MaxBatch {
					s.cases = append(s.cases, one)
				}
			} else if len(others) < broker.MaxBatch && (!w.until.IsZero() || IsFlow(id) || e.of.Queue == "") {
				others = append(others, one)
			}
		}
		c.settle(w, now)
	}
	// Tasks without a known obstacle only fill up the request.
	s.cases = append(s.cases, others[:min(len(others), broker.MaxBatch-len(s.cases))]...)
	if r != nil && r.minions > 0 {
		c.vigils.wake(now)
	}
	return s
}

// count adds a task to those that have a trouble.
func (s *survey) count(t trouble) *ill {
	i := s.ills[t]
	if i == nil {
		i = new(ill)
		s.ills[t] = i
	}
	i.tasks++
	return i
}

// settle schedules the next check of a wait. c.mu is held.
func (c *Client) settle(w *Watch, now time.Time) {
	// Where no minion lives, nothing changes from check to check, so their number is bounded if
	// pushes are reliable. A new minion starts the count again.
	w.checks++
	if c.roster == nil || c.roster.minions > 0 {
		w.checks = 0
	}
	if c.follow != nil && w.checks >= maxReports && w.until.IsZero() {
		c.vigils.leave(w)
		c.vigils.put(w, vigilAsleep, now)
		return
	}
	c.vigils.again(w, now)
}

// see looks up the chosen tasks, and stores in each wait why one of its tasks is not done.
func (c *Client) see(s *survey) {
	cases := c.unfold(s.cases)
	if len(cases) == 0 {
		return
	}
	ids := make([]broker.ID, len(cases))
	for i := range cases {
		ids[i] = cases[i].id
	}
	found, err := c.lookup(c.ctx, ids)
	if err != nil {
		return // the troubles that are known from the list of minions remain
	}
	c.askParked(s, found)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range found {
		one, st := &cases[i], &found[i]
		if one.asked == one.id {
			if e := c.table.entries.get(one.id); e != nil {
				e.state, e.of = st.State, c.table.kinds.learn(e.of, st)
			}
		}
		if st.State.Final() {
			if one.asked == one.id { // its push is late, or lost
				c.table.found(one.id, st, now)
			}
			continue
		}
		one.of = c.table.kinds.learn(one.of, st)
		c.sight(s, one, st, now)
	}
}

// askParked asks the broker for the needs of the parked tasks of a queue, for each queue in
// which a parked task was found. If the broker can't tell, no trouble is assumed.
func (c *Client) askParked(s *survey, found []broker.Status) {
	b, ok := c.b.(broker.Parker)
	for i := range found {
		st := &found[i]
		if _, asked := s.parked[st.Queue]; !ok || st.State != broker.StateParked || asked {
			continue
		}
		if s.parked == nil {
			s.parked = make(map[string][]broker.Parked)
		}
		parked, err := b.Parked(c.ctx, st.Queue)
		if err != nil {
			parked = nil
		}
		s.parked[st.Queue] = parked
	}
}

// sight stores the state of a task in the wait for it. c.mu is held.
func (c *Client) sight(s *survey, one *checked, st *broker.Status, now time.Time) {
	g := &sighting{asked: one.asked, of: one.of, status: *st, at: now}
	if st.State != broker.StateRunning {
		g.ill = s.roster.troubleOf(one.of)
	}
	if g.ill.why == noTrouble && st.State == broker.StateParked {
		g.ill = s.roster.troubleOfParked(one.of, s.parked[one.of.Queue])
	}
	if g.ill.why != noTrouble && (st.State == broker.StatePending || st.State == broker.StateParked) && one.old {
		i := s.ills[g.ill]
		if i == nil { // the queue was not known before the look-up
			i = s.count(g.ill)
		}
		if i.example.IsZero() {
			i.example, i.name = one.id, one.of.Name
			i.last = one.w.vigil == &c.vigils.levels[vigilAsleep]
		}
	}
	// The finding goes to the wait, unless the wait has ended or begun anew. One with an
	// obstacle is worth more than one without.
	w := one.w
	if w.vigil == nil || w.since.After(s.at) || c.table.entries.get(one.asked) == nil {
		return // the wait has ended
	}
	if w.seen == nil || w.seen.at != now || w.seen.ill.why == noTrouble {
		w.seen = g
	}
}

// report logs why tasks can't run. Each trouble is logged at most once in checkEvery.
func (c *Client) report(s *survey) {
	// Without an example that is pending the tasks may have started since.
	for t, i := range s.ills {
		if i.example.IsZero() || !c.mayTell(t, s.at) {
			continue
		}
		args := []any{"queue", t.queue, "tasks", i.tasks, "task.id", i.example.String()}
		if i.name != "" {
			args = append(args, "task.name", i.name)
		}
		msg, remedy := "tasks wait in a queue that no living minion serves",
			"start a minion of the queue, or correct the name of the queue where the tasks are sent"
		switch t.why {
		case noHandler:
			msg, remedy = "tasks wait that no living minion of their queue knows",
				"register the task with a minion of the queue, or correct its name where it is sent"
			q := s.roster.queues[t.queue]
			args = append(args, "minions", q.minions, "known", fewOf(q.tasks))
		case noFit:
			msg, remedy = "tasks wait that no living minion of their queue can run",
				"start a minion whose build has the parameters with which the tasks are sent"
			args = append(args, "minions", s.roster.queues[t.queue].minions)
		default:
			args = append(args, "minions", s.roster.minions, "served", fewOf(s.roster.queues))
		}
		if i.last {
			remedy += "; this is not logged again until something changes"
		}
		c.log.Warn(msg, append(args, "remedy", remedy)...)
	}
}

// mayTell reports whether a trouble is to be logged now, because that was not done for
// checkEvery. It notes that it is.
func (c *Client) mayTell(t trouble, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old, at := range c.told {
		if now.Sub(at) > 2*checkEvery {
			delete(c.told, old)
		}
	}
	// Two checks of a wait may be slightly less than checkEvery apart.
	if at, ok := c.told[t]; ok && now.Sub(at) < checkEvery-checkEvery/60 {
		return false
	}
	if c.told == nil {
		c.told = make(map[trouble]time.Time)
	}
	c.told[t] = now
	return true
}
