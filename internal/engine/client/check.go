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
// The steps of a check are:
//
//  1. Minions of the broker, summed up by queue (summarizeMinions).
//  2. The tasks of the waits that are due. First come those that no minion can run, as far as
//     is known already (chooseCases).
//  3. Groups and pipes among them are replaced by members that are not done (unfold).
//  4. Lookup of the broker, and the needs of parked tasks (lookUpCases, askParked).
//  5. The obstacle of each task is stored in its wait (noteFinding), and logged (report).
//
// One goroutine checks at a time, and none runs while no wait is old enough. So checks cost
// nothing where results come soon.

const (
	// checkPause is the shortest time between two checks.
	checkPause = 100 * time.Millisecond
	// maxChecked bounds how many tasks of waits one check looks at. Waits beyond that are due
	// for the next check.
	maxChecked = 10 * broker.MaxBatch
	// maxReports is how often an obstacle is logged where no push is lost and no minion lives.
	// In such a process nothing but a new wait or a new minion can change anything. Without a
	// bound, the time in a bubble of testing/synctest would run for ever.
	maxReports = 10
)

// finding is the finding of a check about a task that a wait is for.
type finding struct {
	asked    broker.ID // the id in the wait: of the task, or of a flow around it
	label    *label    // of the task
	status   broker.Status
	obstacle obstacle  // the reason why it can't run
	at       time.Time // when it was found
}

// scheduleFirstCheck schedules the first check of a wait. c.mu is held.
func (c *Client) scheduleFirstCheck(ctx context.Context, w *Watch) {
	now := w.begun
	if w.begun = (time.Time{}); now.IsZero() {
		now = time.Now()
	}
	until, _ := ctx.Deadline()
	c.waits.add(w, now, until)
	if w.checkList != &c.waits.levels[checkLevelNone] && !c.checking && !c.closed {
		c.arm(w.due, now)
	}
}

// scheduleCheck starts a check if one is due, or sets the timer for it. c.mu is held.
func (c *Client) scheduleCheck(now time.Time) {
	at, ok := c.waits.nextDue()
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
// findings in the waits, and logs obstacles.
func (c *Client) check() {
	// The broker is asked without the lock. If it can't list the minions, the waits are put off
	// to their next checks, and nothing is reported.
	began := time.Now()
	minions, err := c.b.Minions(c.ctx)
	var r *minionSummary
	if err == nil {
		r = summarizeMinions(minions, began)
	}
	c.mu.Lock()
	c.minions = r
	s := c.chooseCases(r, began)
	c.mu.Unlock()
	if r != nil {
		c.lookUpCases(s)
		c.report(s)
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checking = false
	if at, ok := c.waits.nextDue(); ok && !c.closed {
		if least := now.Add(checkPause); at.Before(least) {
			at = least
		}
		c.arm(at, now)
	}
}

// checkRound is the state of one check.
type checkRound struct {
	minions *minionSummary
	at      time.Time
	cases   []checked // tasks that are looked up
	counts  map[obstacle]*obstacleCount
	// parked has, by queue, the needs of the queue's parked tasks. It has only queues of tasks
	// in cases.
	parked map[string][]broker.Parked
}

// checked is a task that a check looks up for a wait.
type checked struct {
	w     *Watch
	asked broker.ID // the id in the wait: of the task, or of a flow around it
	id    broker.ID
	label *label
	old   bool // the wait has lasted long enough for a log line
}

// obstacleCount counts the tasks that have an obstacle.
type obstacleCount struct {
	tasks   int       // among those that the check looked at
	example broker.ID // a task of them that is pending or parked; zero if none is known
	name    string    // of example
	last    bool      // the obstacle is not logged again unless something changes
}

// chooseCases takes the waits that are due, schedules their next checks, and chooses the tasks
// to look up. Tasks with a known obstacle come first. c.mu is held.
func (c *Client) chooseCases(r *minionSummary, now time.Time) *checkRound {
	s := &checkRound{minions: r, at: now, counts: make(map[obstacle]*obstacleCount)}
	var others []checked // tasks without a known obstacle
	// Each wait continues where its last check has stopped, so that a wait for many tasks has
	// all of them checked in turn.
	for seen := 0; seen < maxChecked; {
		w := c.waits.takeDue(now)
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
				continue // its outcome is here, or no minions are known
			}
			one := checked{w: w, asked: id, id: id, label: e.label, old: old}
			if obstacle := r.obstacleFor(e.label); obstacle.why != noObstacle {
				s.count(obstacle)
				if len(s.cases) < broker.MaxBatch {
					s.cases = append(s.cases, one)
				}
			} else if len(others) < broker.MaxBatch && (!w.until.IsZero() || IsFlow(id) || e.label.Queue == "") {
				others = append(others, one)
			}
		}
		c.postpone(w, now)
	}
	// Tasks without a known obstacle only fill up the request.
	s.cases = append(s.cases, others[:min(len(others), broker.MaxBatch-len(s.cases))]...)
	if r != nil && r.living > 0 {
		c.waits.wake(now)
	}
	return s
}

// count adds a task to those that have an obstacle.
func (s *checkRound) count(t obstacle) *obstacleCount {
	i := s.counts[t]
	if i == nil {
		i = new(obstacleCount)
		s.counts[t] = i
	}
	i.tasks++
	return i
}

// postpone schedules the next check of a wait. c.mu is held.
func (c *Client) postpone(w *Watch, now time.Time) {
	// Where no minion lives, nothing changes from check to check, so their number is bounded if
	// pushes are reliable. A new minion starts the count again.
	w.checks++
	if c.minions == nil || c.minions.living > 0 {
		w.checks = 0
	}
	if c.follow != nil && w.checks >= maxReports && w.until.IsZero() {
		c.waits.remove(w)
		c.waits.put(w, checkLevelAsleep, now)
		return
	}
	c.waits.reschedule(w, now)
}

// lookUpCases looks up the chosen tasks, and stores in each wait why one of its tasks is not
// done.
func (c *Client) lookUpCases(s *checkRound) {
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
		return // the obstacles that are known from the list of minions remain
	}
	c.askParked(s, found)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range found {
		one, st := &cases[i], &found[i]
		if one.asked == one.id {
			if e := c.table.entries.get(one.id); e != nil {
				e.state, e.label = st.State, c.table.labels.learn(e.label, st)
			}
		}
		if st.State.Final() {
			if one.asked == one.id { // its push is late, or lost
				c.table.found(one.id, st, now)
			}
			continue
		}
		one.label = c.table.labels.learn(one.label, st)
		c.noteFinding(s, one, st, now)
	}
}

// askParked asks the broker for the needs of the parked tasks of a queue, for each queue in
// which a parked task was found. If the broker can't tell, no obstacle is assumed.
func (c *Client) askParked(s *checkRound, found []broker.Status) {
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

// noteFinding stores the state of a task in the wait for it. c.mu is held.
func (c *Client) noteFinding(s *checkRound, one *checked, st *broker.Status, now time.Time) {
	g := &finding{asked: one.asked, label: one.label, status: *st, at: now}
	if st.State != broker.StateRunning {
		g.obstacle = s.minions.obstacleFor(one.label)
	}
	if g.obstacle.why == noObstacle && st.State == broker.StateParked {
		g.obstacle = s.minions.obstacleForParked(one.label, s.parked[one.label.Queue])
	}
	if g.obstacle.why != noObstacle && (st.State == broker.StatePending || st.State == broker.StateParked) && one.old {
		i := s.counts[g.obstacle]
		if i == nil { // the queue was not known before the look-up
			i = s.count(g.obstacle)
		}
		if i.example.IsZero() {
			i.example, i.name = one.id, one.label.Name
			i.last = one.w.checkList == &c.waits.levels[checkLevelAsleep]
		}
	}
	// The finding goes to the wait, unless the wait has ended or begun anew. One with an
	// obstacle is worth more than one without.
	w := one.w
	if w.checkList == nil || w.since.After(s.at) || c.table.entries.get(one.asked) == nil {
		return // the wait has ended
	}
	if w.seen == nil || w.seen.at != now || w.seen.obstacle.why == noObstacle {
		w.seen = g
	}
}

// report logs why tasks can't run. Each obstacle is logged at most once in checkEvery.
func (c *Client) report(s *checkRound) {
	// Without an example that is pending the tasks may have started since.
	for t, i := range s.counts {
		if i.example.IsZero() || !c.mayLog(t, s.at) {
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
			q := s.minions.queues[t.queue]
			args = append(args, "minions", q.minions, "known", fewOf(q.tasks))
		case noFit:
			msg, remedy = "tasks wait that no living minion of their queue can run",
				"start a minion whose build has the parameters with which the tasks are sent"
			args = append(args, "minions", s.minions.queues[t.queue].minions)
		default:
			args = append(args, "minions", s.minions.living, "served", fewOf(s.minions.queues))
		}
		if i.last {
			remedy += "; this is not logged again until something changes"
		}
		c.log.Warn(msg, append(args, "remedy", remedy)...)
	}
}

// mayLog reports whether an obstacle is to be logged now, because that was not done for
// checkEvery. It notes that it is.
func (c *Client) mayLog(t obstacle, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old, at := range c.logged {
		if now.Sub(at) > 2*checkEvery {
			delete(c.logged, old)
		}
	}
	// Two checks of a wait may be slightly less than checkEvery apart.
	if at, ok := c.logged[t]; ok && now.Sub(at) < checkEvery-checkEvery/60 {
		return false
	}
	if c.logged == nil {
		c.logged = make(map[obstacle]time.Time)
	}
	c.logged[t] = now
	return true
}
