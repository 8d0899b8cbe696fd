package minion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// A task can kill its minion, for example by using up the memory of the machine. Without
// a limit it would kill one minion after the other. When a minion dies, any task that it
// had started may be the cause, so a single death condemns no task. The broker counts
// deaths and recorded starts for each task, and these rules find the culprit:
//
//   - A task that was never held by a minion when it died starts at once. Its start is
//     not recorded.
//   - A task that was held by a minion when it died has its next start recorded, see
//     [broker.Starter]. If that minion dies too, the task gets a strike. A task that
//     had not started gets none.
//   - A task with a strike is a suspect. A minion runs one suspect at a time: the next
//     one starts when the settlement of the previous one is stored. Therefore a further
//     death adds a strike to one suspect only. A suspect that waits for another task keeps
//     its turn, and only the task that it waits for may start beside it: see trial. If the
//     program calls [Child], a suspect
//     runs in a process of its own. If that process ends before the handler has
//     returned, the task is guilty at once.
//   - A task is guilty when it was held by MaxRecoveries minions that died, and had
//     started in all of them except the first. It becomes a dead letter.
//
// A broker without [broker.Starter] does not know which tasks had started. There a task
// is guilty after MaxRecoveries deaths.

// charge is the evidence against a task: how many minions died that held it, and how
// many of these had recorded its start.
type charge struct{ recoveries, strikes int }

// guilty reports whether the task becomes a dead letter.
func (m *Minion) guilty(c charge) bool {
	return c.recoveries >= m.cfg.deaths && c.strikes >= max(1, m.cfg.deaths-1)
}

// suspected reports whether the task is a suspect, which may not run beside another
// suspect. With a MaxRecoveries of 2 the second death is the last, so the first death
// makes a suspect.
func (m *Minion) suspected(c charge) bool {
	switch m.cfg.deaths {
	case 1:
		return false
	case 2:
		return c.recoveries > 0
	}
	return c.strikes > 0
}

// recordFrom returns the number of recoveries from which on starts are recorded.
func (m *Minion) recordFrom() int {
	if m.starter == nil {
		return math.MaxInt
	}
	return min(1, m.cfg.deaths-1)
}

const (
	// trialFor is how long a suspect keeps other suspects from starting. After that the
	// next one starts beside it, so a task of several hours does not block them all.
	trialFor = 10 * time.Minute
	// turnAway is the minimum time that a suspect waits before it tries again. It waits
	// in the broker: there it needs no slot, another minion may take it, and it is not
	// charged if this minion dies.
	turnAway    = time.Second
	turnAwayMax = 15 * time.Second
)

// trial is the suspects that run at the moment: usually one. A suspect whose handler waits for
// another task stays on trial. Otherwise another suspect could start meanwhile, and when that
// one kills the minion both would be charged. But the awaited task may be a suspect itself, and
// it would never start. So the task that the last suspect waits for may start beside it, or a
// member of the group or pipe that it waits for.
type trial struct {
	some atomic.Bool // whether suspects run; changes with mu held. Only suspects take mu

	mu     sync.Mutex // guards the fields below; no other lock is taken while it is held
	of     []suspect  // each of them but the last waits for the next one
	since  time.Time  // when the first of them began
	turned int        // how many suspects were turned away since then
}

// suspect is an attempt on trial.
type suspect struct {
	*attempt
	awaits []broker.ID // the tasks, groups and pipes that its handler waits for
}

// awaitsTask reports whether the handler waits for a task, or for a group or pipe with the task.
func (s *suspect) awaitsTask(d *broker.Delivery) bool {
	return slices.ContainsFunc(s.awaits, func(id broker.ID) bool { return id == d.ID || id == d.Flow.ID })
}

// begin puts a on trial, or returns how long a has to wait.
func (t *trial) begin(a *attempt) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, now := len(t.of), time.Now()
	switch {
	case n == 0 || now.Sub(t.since) >= trialFor:
		t.some.Store(true)
		t.of = []suspect{{attempt: a}}
		t.since, t.turned = now, 0
		return 0, true
	case t.of[n-1].awaitsTask(a.d):
		t.of = append(t.of, suspect{attempt: a})
		return 0, true
	}
	t.turned++
	// The more suspects wait, the less often each of them asks.
	wait = min(turnAway+time.Duration(t.turned)*10*time.Millisecond, turnAwayMax)
	return wait + rand.N(wait), false
}

// await notes that the handler of an attempt waits for a task, a group or a pipe.
func (t *trial) await(a *attempt, id broker.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.find(a); i >= 0 {
		t.of[i].awaits = append(t.of[i].awaits, id)
	}
}

// resume ends a wait that await began.
func (t *trial) resume(a *attempt, id broker.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(a)
	if i < 0 {
		return
	}
	s := &t.of[i]
	if k := slices.Index(s.awaits, id); k >= 0 { // several goroutines may wait for the same task
		s.awaits = slices.Delete(s.awaits, k, k+1)
	}
}

// find returns the index of an attempt, or -1 if it is not on trial. The caller holds mu.
func (t *trial) find(a *attempt) int {
	return slices.IndexFunc(t.of, func(s suspect) bool { return s.attempt == a })
}

// acquit ends the trial of an attempt, if it has one.
func (t *trial) acquit(a *attempt) {
	if t.some.Load() {
		t.remove(func(s suspect) bool { return s.attempt == a })
	}
}

// settled ends the trial of the attempt with a delivery, if it has one. The broker has stored its
// settlement, or the minion has given that up. The trial does not end earlier, when the
// handler returns: until the settlement is stored, the task is charged if the minion dies.
func (t *trial) settled(d *broker.Delivery) {
	if t.some.Load() {
		t.remove(func(s suspect) bool { return s.d == d })
	}
}

// remove ends the trials of the suspects for which done reports true.
func (t *trial) remove(done func(suspect) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of = slices.DeleteFunc(t.of, done)
	t.some.Store(len(t.of) > 0)
}

// examine records the start of a task that was held by minions that died, and decides
// whether it may start. If over is true, the attempt does not start; then settled
// reports whether st holds its settlement.
func (a *attempt) examine(st *broker.Settlement) (settled, over bool) {
	if a.ctx.cause() != nil {
		return false, false // overtaken settles it
	}
	m, r := a.s.r.m, a.s.r
	if m.suspected(charge{a.d.Recoveries, a.d.Strikes}) && !a.together {
		if wait, ok := r.trial.begin(a); !ok {
			return a.turnedAway(st, wait), true
		}
	}
	c, err := a.recordStart()
	for until := time.Now().Add(a.s.lease); err == nil && m.guilty(c) && r.earlierSessionOpen() && time.Now().Before(until); {
		if !backoff.Sleep(&a.ctx, fastest) {
			break
		}
		c, err = a.recordStart()
	}
	switch {
	case err != nil && a.ctx.cause() != nil:
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
		r.trial.acquit(a) // the broker has taken back deaths that it had counted
	}
	a.started = time.Now()
	return false, false
}

// earlierSessionOpen reports whether an earlier session of this minion has not told the broker
// yet that the minion lives. Once it has, the broker takes back the deaths that it
// counted when the lease of that session ended.
func (r *run) earlierSessionOpen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		if s.lost && !s.left {
			return true
		}
	}
	return false
}

// turnedAway settles a suspect as snoozed, because another suspect runs.
func (a *attempt) turnedAway(st *broker.Settlement, wait time.Duration) (settled bool) {
	a.started = time.Time{}
	if end, ok := a.deadline(); ok {
		wait = min(wait, max(time.Until(end), 0)+time.Millisecond)
	}
	a.s.r.log.task(slog.LevelInfo, "task put off: it may have killed its minion, and another such task runs here", a.d, "due_in", wait)
	*st = broker.Settlement{Delivery: a.d, Verb: broker.VerbSnooze, Delay: wait, Unstarted: true}
	return true
}

// recordStart asks the broker to record the start. It repeats the request until the
// broker has answered or the attempt is over.
func (a *attempt) recordStart() (charge, error) {
	r := a.s.r
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(&a.ctx, a.s.lease/3)
		recoveries, strikes, err := r.m.starter.RecordStart(ctx, a.d)
		cancel()
		switch {
		case err == nil:
			r.out.over("record start")
			return charge{recoveries, strikes}, nil
		case errors.Is(err, broker.ErrLeaseLost) || errors.Is(err, broker.ErrClosed) || a.ctx.cause() != nil:
			return charge{}, err
		}
		r.out.failed("record start", err)
		if !backoff.Sleep(&a.ctx, backoff.Delay(try, fastest, slowest)) {
			return charge{}, err
		}
	}
}
