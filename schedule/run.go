package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// This file runs schedules. Any number of processes do it together, and none leads. Each of them follows the changes of all
// schedules (follow), and has a timer for each schedule that fires when something is to be done (plan). Then it takes steps: it
// decides ticks, stores the record by compare and swap, and submits tasks (step). If another process was faster, the
// store refuses the record, and the step begins again with the new one.
//
// So that not all processes do the same work at the same moment, the one that has decided the last tick of a schedule takes
// the next one, too, and the others wait a little longer (handicap). If it has died, one of them takes over.

// Run runs all schedules of the namespace until ctx ends, and then returns nil. First it stores the declared ones; see [Declared].
// Each process of a system may call it. It needs no minion in the same process, and uses little: a schedule costs a timer.
//
// A broker that can't be reached is no error, neither at the start nor later: Run tries again until ctx ends. It returns an
// error that wraps [task.ErrClosed] if the broker was closed, and one that wraps [task.ErrInvalid] if a declared definition
// is refused.
func (s *Scheduler) Run(ctx context.Context) error {
	for _, d := range s.declared {
		for try := 0; ; try++ {
			err := s.Reconcile(ctx, d.set, d.defs...)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the end of the context ends Run, and is no error
			}
			if !temporary(err) && !errors.Is(err, broker.ErrDamaged) {
				s.log.Error("schedules: the declared schedules can't be stored", "set", d.set, "error", err)
				return err
			}
			s.log.Warn("schedules: the declared schedules can't be stored yet", "set", d.set, "error", err)
			backoff.Sleep(ctx, backoff.Delay(try, time.Second, 10*time.Second))
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	r := &runner{
		Scheduler: s, ctx: ctx, stop: stop, id: broker.NewID(broker.KindParty, "", 0).String(),
		entries: make(map[string]*entry), unread: make(map[string]bool), free: make(chan struct{}, mostSteps),
	}
	r.follow()
	r.close()
	if err := context.Cause(ctx); errors.Is(err, broker.ErrClosed) {
		return fmt.Errorf("schedules: %w", err)
	}
	return nil
}

// Run is [New] and [Scheduler.Run] in one.
func Run(ctx context.Context, b broker.Broker, opts ...Option) error {
	s, err := New(b, opts...)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

const (
	mostSteps  = 16                     // schedules that are stepped at the same time
	waitMost   = 5 * time.Minute        // for a change; less than broker.RemovedFor
	feedPause  = 200 * time.Millisecond // between two looks at the changes, so that several are seen at once
	handicap   = 500 * time.Millisecond // how much later a process acts that has not decided the last tick; as much again by chance
	soonFirst  = 50 * time.Millisecond  // the first look for the end of a run for which a tick waits
	soonMost   = time.Second            // the longest pause between two of these
	laterFirst = time.Second            // the same if no tick waits
	laterMost  = 30 * time.Second
)

// runner is one call of Run.
type runner struct {
	*Scheduler
	ctx  context.Context
	stop context.CancelCauseFunc
	id   string
	free chan struct{} // a value for each step under way

	wg sync.WaitGroup // steps

	mu      sync.Mutex
	closed  bool
	entries map[string]*entry
	unread  map[string]bool // schedules that this process can't run, as the log says
	// The broker's clock showed brokerAt at the moment localAt, which has a monotonic reading, so a jump of the wall clock here
	// changes nothing.
	brokerAt, localAt time.Time
}

// entry is a schedule that is followed. All fields are guarded by runner.mu.
type entry struct {
	name  string
	known *stored // the newest version that is known; it is never changed
	timer *time.Timer
	busy  bool // a step is under way
	again bool // the timer has fired meanwhile

	late  time.Duration // how much later this process acts
	look  time.Time     // when to look for the end of runs
	looks int           // how often it has looked since runs were submitted or have ended
	fails int           // steps that have failed in a row
}

// now returns the time of the broker's clock.
func (r *runner) now() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.brokerNow().UnixMilli()
}

// brokerNow is now. r.mu is held.
func (r *runner) brokerNow() time.Time { return r.brokerAt.Add(time.Since(r.localAt)) }

// follow follows the changes of all schedules until the context ends.
func (r *runner) follow() {
	after, asked, failed := uint64(0), time.Time{}, 0 // asked is when the last answer was asked for
	var seen map[string]bool                          // set while all schedules are listed
	for r.ctx.Err() == nil {
		if asked.IsZero() || time.Since(asked) > broker.RemovedFor/2 { // a removal may have been missed
			after, seen = 0, make(map[string]bool)
		}
		wait := waitMost
		if seen != nil {
			wait = 0
		}
		at := time.Now()
		list, err := r.docs.DocumentChanges(r.ctx, collection, after, wait)
		if err != nil {
			if r.fatal(err) {
				return
			}
			if failed++; failed == 1 && r.ctx.Err() == nil {
				r.log.Warn("schedules: the broker can't be reached; schedules run later", "error", err)
			}
			backoff.Sleep(r.ctx, backoff.Delay(failed, 50*time.Millisecond, 2*time.Second))
			continue
		}
		if failed > 0 {
			r.log.Info("schedules: the broker is back", "failed", failed)
		}
		asked, failed = at, 0
		r.learn(&list, seen)
		if after = list.Next; list.More {
			continue
		}
		if seen != nil {
			r.forgetOthers(seen)
			seen = nil
		}
		if len(list.Documents) > 0 || time.Since(at) < feedPause { // else it has waited for long already
			backoff.Sleep(r.ctx, feedPause)
		}
	}
}

// fatal ends the run after an error that can't pass.
func (r *runner) fatal(err error) bool {
	if errors.Is(err, broker.ErrClosed) {
		r.stop(err)
		return true
	}
	return false
}

// learn takes changes in.
func (r *runner) learn(list *broker.DocumentList, seen map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.brokerAt, r.localAt = list.Now, time.Now()
	for i := range list.Documents {
		d := &list.Documents[i]
		if d.Removed {
			r.forget(d.Name)
			continue
		}
		if seen != nil {
			seen[d.Name] = true
		}
		e := r.entries[d.Name]
		if e != nil && e.known.version >= d.Version {
			continue
		}
		x, err := readRecord(d)
		if err == nil {
			var was *stored
			if e != nil {
				was = e.known
			}
			x.open(r.codecs, was)
			err = x.err
		}
		if err != nil {
			if !r.unread[d.Name] {
				r.log.Warn("schedules: this process can't run a schedule; others may", "schedule", d.Name, "error", err)
			}
			r.unread[d.Name] = true
			r.forget(d.Name)
			continue
		}
		delete(r.unread, d.Name)
		if e == nil {
			e = &entry{name: d.Name}
			e.timer = time.AfterFunc(time.Hour, func() { r.fire(e) })
			r.entries[d.Name] = e
		}
		r.know(e, x)
		r.plan(e)
	}
}

// know takes a new version of a schedule in. r.mu is held.
func (r *runner) know(e *entry, x *stored) {
	was := e.known
	e.known = x
	if was == nil || !sameRuns(was.Open, x.Open) || len(was.Waiting) == 0 && len(x.Waiting) > 0 {
		e.looks = 0
		r.lookAgain(e)
	}
	e.late = 0
	if x.By != "" && x.By != r.id {
		e.late = handicap + rand.N(handicap)
	}
}

// sameRuns reports whether two lists have the same runs.
func sameRuns(a, b []run) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID {
			return false
		}
	}
	return true
}

// lookAgain sets the time of the next look for the end of runs. r.mu is held.
func (r *runner) lookAgain(e *entry) {
	first, most := laterFirst, laterMost
	if e.known.awaited() {
		first, most = soonFirst, soonMost
	}
	e.look = time.Now().Add(backoff.Most(e.looks, first, most))
}

// forget stops following a schedule. r.mu is held.
func (r *runner) forget(name string) {
	if e := r.entries[name]; e != nil {
		e.timer.Stop()
		delete(r.entries, name)
	}
}

// forgetOthers stops following all schedules but these.
func (r *runner) forgetOthers(seen map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.entries {
		if !seen[name] {
			r.forget(name)
		}
	}
}

// close ends the timers, and waits for the steps.
func (r *runner) close() {
	r.mu.Lock()
	r.closed = true
	for name := range r.entries {
		r.forget(name)
	}
	r.mu.Unlock()
	r.wg.Wait()
	r.stop(nil)
}

// plan sets the timer of a schedule. r.mu is held.
func (r *runner) plan(e *entry) {
	if e.busy || r.closed || r.entries[e.name] != e {
		return // the step plans when it ends
	}
	now := time.Now()
	at := now.Add(24 * time.Hour)
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	x := e.known
	if due, ok := x.wake(); ok {
		sooner(now.Add(time.UnixMilli(due).Sub(r.brokerNow())))
	}
	switch {
	case len(x.Intents) > 0, len(x.Open) == 0 && x.awaited():
		sooner(now)
	case len(x.Open) > 0:
		sooner(e.look)
	}
	at = at.Add(e.late)
	if e.fails > 0 {
		if retry := now.Add(backoff.Delay(e.fails-1, 100*time.Millisecond, 5*time.Second)); at.Before(retry) {
			at = retry
		}
	}
	e.timer.Reset(max(at.Sub(now), 0))
}

// fire is called by the timer of a schedule.
func (r *runner) fire(e *entry) {
	r.mu.Lock()
	if r.closed || r.entries[e.name] != e {
		r.mu.Unlock()
		return
	}
	if e.busy {
		e.again = true
		r.mu.Unlock()
		return
	}
	e.busy = true
	r.wg.Add(1)
	x, look := e.known, !time.Now().Before(e.look)
	r.mu.Unlock()
	defer r.wg.Done()

	var err error
	select {
	case r.free <- struct{}{}:
		x, err = r.step(x, look)
		<-r.free
	case <-r.ctx.Done():
		return
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	e.busy = false
	switch {
	case err != nil:
		if e.fails++; e.fails == 1 && r.ctx.Err() == nil {
			r.log.LogAttrs(r.ctx, slog.LevelWarn, "schedules: a schedule is late", slog.String("schedule", e.name), slog.Any("error", err))
		}
		r.fatal(err)
	case x == nil:
		r.forget(e.name)
		return
	default:
		e.fails = 0
	}
	if look && err == nil {
		e.looks++
	}
	if x != nil && x.version > e.known.version {
		r.know(e, x)
	} else if look {
		r.lookAgain(e)
	}
	r.plan(e)
}

// step does everything that is to be done for a schedule now. look says that the end of its runs is to be looked for. It returns the
// newest version that it knows, nil if the schedule has been removed.
func (r *runner) step(x *stored, look bool) (*stored, error) {
	for {
		next, done, err := r.stepOnce(x, look)
		if errors.Is(err, broker.ErrConflict) {
			if next, _, err = r.read(r.ctx, x.name); err == nil && next.version == 0 {
				return nil, nil
			}
			if err == nil {
				err = next.err
			}
		}
		if err != nil || done {
			return x, err
		}
		x = next
	}
}

// stepOnce makes one change of a schedule, or none if done is true.
func (r *runner) stepOnce(x *stored, look bool) (next *stored, done bool, err error) {
	next = x.clone()
	if len(x.Intents) > 0 {
		err := r.finish(r.ctx, next)
		return next, false, err
	}
	now := r.now()
	var states map[broker.ID]broker.State
	if len(x.Open) > 0 && (look || x.needsStates(now)) {
		if err := r.Scheduler.stop(r.ctx, x); err != nil {
			return nil, false, err
		}
		if states, err = r.states(r.ctx, openIDs(x)); err != nil {
			return nil, false, err
		}
	}
	changed := next.ended(states, now)
	changed = next.advance(now) || changed
	if !changed {
		return x, true, nil
	}
	next.By = r.id
	if err = again(r.ctx, func() error { return r.write(r.ctx, next) }); err == nil {
		err = r.Scheduler.stop(r.ctx, next) // what a new tick replaces
	}
	return next, false, err
}

// needsStates reports whether a decision depends on whether the open runs have ended.
func (s *stored) needsStates(now int64) bool {
	if s.def.Overlap == OverlapAllow && !s.def.PauseOnFailure {
		return false
	}
	due, ok := s.wake()
	return ok && due <= now
}

// openIDs returns the tasks of the open runs.
func openIDs(x *stored) (ids []broker.ID) {
	for _, r := range x.Open {
		ids = append(ids, r.ID)
	}
	return ids
}
