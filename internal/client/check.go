package client

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Finding out why waits do not end. A check asks once which minions live, and once for
// the states of tasks, for all waits that are due for it: those that are five seconds
// old, and before that those whose contexts end soon. What it finds is in the error of a
// wait that ends (see waitError). What keeps a task from being run is logged, in one line
// for all tasks of a queue. One goroutine does it at a time, and none while no wait is
// old enough, so that it costs nothing where results come soon.

const (
	// checkPause is how long the next check waits after one.
	checkPause = 100 * time.Millisecond
	// maxChecked bounds how many tasks of waits a check looks through. The waits that
	// it does not reach are due for the next one.
	maxChecked = 10 * broker.MaxBatch
	// maxReports is how often a trouble is logged where no push is lost and no minion
	// lives, so that nothing but a new wait or a new minion can change that: a test in a
	// bubble of testing/synctest must not have its time run for ever.
	maxReports = 10
)

// sighting is what a check has found of a task that somebody waits for.
type sighting struct {
	asked  broker.ID // what is waited for
	of     *kind     // of the task
	status broker.Status
	ill    trouble // what keeps it from being run
	at     time.Time
}

// watchOver begins the vigil of a watch. c.mu is held.
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

// scheduleCheck sees to it that the next check happens. c.mu is held.
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

// check is one check.
func (c *Client) check() {
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

// survey is what a check knows.
type survey struct {
	roster *roster
	at     time.Time
	cases  []checked // that are looked up
	ills   map[trouble]*ill
	parked map[string][]broker.Parked // what parked tasks need, of the queues where that matters
}

// checked is a task that somebody waits for.
type checked struct {
	w     *Watch
	asked broker.ID // what is waited for: the task, or a flow that it is in
	id    broker.ID
	of    *kind
	old   bool // it is waited for for so long that it may be logged
}

// ill is a trouble that tasks have.
type ill struct {
	tasks   int       // as many as were looked through
	example broker.ID // one that is pending; zero if none is known to be
	name    string    // of that
	last    bool      // it is not reported again unless something changes
}

// survey chooses what is looked up for the waits that are due, and puts them off to their
// next checks. c.mu is held.
func (c *Client) survey(r *roster, now time.Time) *survey {
	s := &survey{roster: r, at: now, ills: make(map[trouble]*ill)}
	var others []checked // they have no trouble that is known
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
				continue // it has arrived
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
	s.cases = append(s.cases, others[:min(len(others), broker.MaxBatch-len(s.cases))]...)
	if r != nil && r.minions > 0 {
		c.vigils.wake(now)
	}
	return s
}

func (s *survey) count(t trouble) *ill {
	i := s.ills[t]
	if i == nil {
		i = new(ill)
		s.ills[t] = i
	}
	i.tasks++
	return i
}

// settle puts a watch off to its next check. c.mu is held.
func (c *Client) settle(w *Watch, now time.Time) {
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

// see looks up what was chosen, and notes for each watch what keeps one of its tasks.
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
		return // what the roster says is known all the same
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
			if one.asked == one.id { // a push is late, or lost
				c.table.found(one.id, st, now)
			}
			continue
		}
		one.of = c.table.kinds.learn(one.of, st)
		c.sight(s, one, st, now)
	}
}

// askParked asks what the parked tasks need of the queues of those that were found to be
// parked. What isn't known is no trouble.
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

// sight notes the state of a task for whoever waits for it. c.mu is held.
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
		if i == nil { // the queue was not known before
			i = s.count(g.ill)
		}
		if i.example.IsZero() {
			i.example, i.name = one.id, one.of.Name
			i.last = one.w.vigil == &c.vigils.levels[vigilAsleep]
		}
	}
	w := one.w
	if w.vigil == nil || w.since.After(s.at) || c.table.entries.get(one.asked) == nil {
		return // that wait has ended
	}
	if w.seen == nil || w.seen.at != now || w.seen.ill.why == noTrouble {
		w.seen = g
	}
}

// report logs what keeps tasks from being run, each trouble once in checkEvery.
func (c *Client) report(s *survey) {
	for t, i := range s.ills {
		if i.example.IsZero() || !c.mayTell(t, s.at) {
			continue
		}
		args := []any{"queue", t.queue, "tasks", i.tasks, "task.id", i.example.String()}
		if i.name != "" {
			args = append(args, "task.name", i.name)
		}
		msg, remedy := "tasks wait in a queue that no living minion serves",
			"start a minion of the queue, or mend the name of the queue where the tasks are sent"
		switch t.why {
		case noHandler:
			msg, remedy = "tasks wait that no living minion of their queue knows",
				"register the task with a minion of the queue, or mend its name where it is sent"
			q := s.roster.queues[t.queue]
			args = append(args, "minions", q.minions, "known", fewOf(q.tasks))
		case noFit:
			msg, remedy = "tasks wait that no living minion of their queue can run",
				"start a minion of the build that has the parameters that the tasks are sent with"
			args = append(args, "minions", s.roster.queues[t.queue].minions)
		default:
			args = append(args, "minions", s.roster.minions, "served", fewOf(s.roster.queues))
		}
		if i.last {
			remedy += "; this is not said again until something changes"
		}
		c.log.Warn(msg, append(args, "remedy", remedy)...)
	}
}

// mayTell reports whether a trouble has not been told for so long that it is to be told
// again, and notes that it is.
func (c *Client) mayTell(t trouble, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old, at := range c.told {
		if now.Sub(at) > 2*checkEvery {
			delete(c.told, old)
		}
	}
	// Checks are a little more or less than checkEvery apart.
	if at, ok := c.told[t]; ok && now.Sub(at) < checkEvery-checkEvery/60 {
		return false
	}
	if c.told == nil {
		c.told = make(map[trouble]time.Time)
	}
	c.told[t] = now
	return true
}
