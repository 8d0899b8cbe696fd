package minion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// When a minion dies, one of the tasks that it had started may have killed it. Nobody
// knows which one, so no task is blamed for one death:
//
//   - A task that no minion has died with starts at once. Nothing is recorded.
//   - The start of a task that a minion held when it died is recorded, see
//     [broker.Starter]. If this minion dies too, the task gets a strike. What had not
//     started gets none.
//   - A task with a strike is a suspect. No two suspects run in one minion at the same
//     time: the next one starts when the settlement of the one before is stored. Where
//     the program has called [Child] a suspect runs in a process of its own. So the next
//     death adds a strike to one suspect only, and if the process of its own ends before
//     the handler has returned, the task is found guilty at once.
//   - A task is guilty that was held by MaxRecoveries minions that died, and had started
//     in all of them but the first.
//
// A broker without a Starter can't tell what has started. Then MaxRecoveries deaths are
// enough.

// charge is what a task is charged with: how many minions died that held it, and how
// many of these had recorded its start.
type charge struct{ recoveries, strikes int }

// guilty reports whether the task is given up.
func (m *Minion) guilty(c charge) bool {
	return c.recoveries >= m.cfg.deaths && c.strikes >= max(1, m.cfg.deaths-1)
}

// suspected reports whether the task may run beside no other suspect. With a
// MaxRecoveries of 2 the second death is the last one, so the first makes a suspect.
func (m *Minion) suspected(c charge) bool {
	switch m.cfg.deaths {
	case 1:
		return false
	case 2:
		return c.recoveries > 0
	}
	return c.strikes > 0
}

// recordFrom returns from how many recoveries on starts are recorded.
func (m *Minion) recordFrom() int {
	if m.starter == nil {
		return math.MaxInt
	}
	return min(1, m.cfg.deaths-1)
}

const (
	// trialFor is how long a suspect keeps others from starting. After that the next one
	// starts beside it: a task that takes hours must not hold up all other suspects.
	trialFor = 10 * time.Minute
	// turnAway is how long a suspect waits before it tries again, at least. It waits in
	// the broker: so it takes no slot, another minion may take it, and this one does not
	// hold it if it dies.
	turnAway    = time.Second
	turnAwayMax = 15 * time.Second
)

// trial is the suspect that runs, if one does. r.mu guards it.
type trial struct {
	of     *attempt // nil if none runs
	since  time.Time
	turned int // how many others were turned away since then
}

// begin gives the trial to an attempt, or returns how long that has to wait.
func (r *run) begin(a *attempt) (wait time.Duration, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &r.trial
	if now := time.Now(); t.of == nil || now.Sub(t.since) >= trialFor {
		*t = trial{of: a, since: now}
		return 0, true
	}
	t.turned++
	// The more of them there are, the less often each of them asks.
	wait = min(turnAway+time.Duration(t.turned)*10*time.Millisecond, turnAwayMax)
	return wait + rand.N(wait), false
}

// acquit ends the trial of an attempt, if it has one. r.mu is held.
func (r *run) acquit(a *attempt) {
	if r.trial.of == a {
		r.trial = trial{}
	}
}

// acquitSettled ends the trial of a suspect whose settlement is among those that the broker
// has answered, or that were given up. Until then the task is charged if the minion dies, so
// no other suspect may start when its handler returns.
func (r *run) acquitSettled(batch []broker.Settlement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.trial.of
	if a == nil || !a.over {
		return
	}
	for i := range batch {
		if batch[i].Delivery == a.d {
			r.acquit(a)
			return
		}
	}
}

// examine decides whether an attempt starts at a task that minions have died with, and
// records its start. If over is true it does not start, and st is how it is settled if
// settled is true.
func (a *attempt) examine(st *broker.Settlement) (settled, over bool) {
	if a.life.why() != nil {
		return false, false // it does not start anyway
	}
	m, r := a.s.r.m, a.s.r
	if m.suspected(charge{a.d.Recoveries, a.d.Strikes}) && !a.together {
		if wait, ok := r.begin(a); !ok {
			return a.turnedAway(st, wait), true
		}
	}
	c, err := a.recordStart()
	for until := time.Now().Add(a.s.lease); err == nil && m.guilty(c) && r.signingOff() && time.Now().Before(until); {
		if !backoff.Sleep(&a.life, fastest) {
			break
		}
		c, err = a.recordStart()
	}
	switch {
	case err != nil && a.life.why() != nil:
		return false, false
	case err != nil:
		r.log.failed(slog.LevelWarn, "task not started: the minion does not own it any more", a.d, err)
		a.started = time.Time{}
		return false, true
	case m.guilty(c):
		a.started = time.Time{}
		return a.finish(st, broker.StateFailed, fmt.Errorf("%w: %d times", task.ErrMinionDied, c.recoveries),
			slog.LevelError, "task failed: its minions died"), true
	}
	a.suspect = m.suspected(c)
	if !a.suspect {
		r.mu.Lock()
		r.acquit(a) // deaths that were counted are excused
		r.mu.Unlock()
	}
	a.started = time.Now()
	return false, false
}

// signingOff reports whether an earlier session of this minion has yet to tell the broker
// that its minion lives. What the end of its lease was counted for is excused then.
func (r *run) signingOff() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		if s.lost && !s.gone {
			return true
		}
	}
	return false
}

// turnedAway gives a suspect back for a while, since another one runs.
func (a *attempt) turnedAway(st *broker.Settlement, wait time.Duration) (settled bool) {
	a.started = time.Time{}
	if end, ok := a.deadline(); ok {
		wait = min(wait, max(time.Until(end), 0)+time.Millisecond)
	}
	a.s.r.log.task(slog.LevelInfo, "task put off: it may have killed its minion, and another such task runs here", a.d, "due_in", wait)
	*st = broker.Settlement{Delivery: a.d, Verb: broker.VerbSnooze, Delay: wait, Unstarted: true}
	return true
}

// recordStart asks the broker to record the start until it has answered, or the attempt
// is over.
func (a *attempt) recordStart() (charge, error) {
	r := a.s.r
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(&a.life, a.s.lease/3)
		recoveries, strikes, err := r.m.starter.RecordStart(ctx, a.d)
		cancel()
		switch {
		case err == nil:
			r.out.over("record start")
			return charge{recoveries, strikes}, nil
		case errors.Is(err, broker.ErrLeaseLost) || errors.Is(err, broker.ErrClosed) || a.life.why() != nil:
			return charge{}, err
		}
		r.out.failed("record start", err)
		if !backoff.Sleep(&a.life, backoff.Delay(try, fastest, slowest)) {
			return charge{}, err
		}
	}
}
