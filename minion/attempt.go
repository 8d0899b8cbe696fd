package minion

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// attempt is one attempt at a task.
type attempt struct {
	s     *session
	d     *broker.Delivery
	h     *handler
	codec codec.Codec
	bad   error // why it can't run

	info  task.Info
	kin   atomic.Pointer[kin] // made when the handler first sends something
	waits int32               // how many of its goroutines wait for other tasks; r.mu guards these three
	lent  bool                // its slot is lent
	over  bool                // it has ended

	life     life               // ends with the attempt, or what ends that
	ctx      context.Context    // of the handler: life, and more
	timeout  time.Duration      // of the attempt; 0 is none
	deadline time.Time          // of the task; zero is none
	limit    error              // which of these ends ctx
	expire   context.CancelFunc // frees the timer of timeout and deadline; nil if there is none

	received time.Time
	started  time.Time
	result   []byte
	finished time.Time
	next     *attempt // to be run by the same worker

	left, right *attempt // in the session's roster
	listed      bool
}

// newAttempt finds what is needed to run a delivery.
func newAttempt(s *session, d *broker.Delivery) *attempt {
	a := &attempt{s: s, d: d, h: s.r.m.handlers[d.Name]}
	a.codec, a.bad = codec.ByName(d.Codec, s.r.codecs...)
	switch {
	case d.Err != nil:
		a.bad = d.Err
	case a.h == nil:
		a.bad = fmt.Errorf("%w %q: this minion knows %s", task.ErrUnknownTask, d.Name, s.r.known())
	case d.Upstream != "":
		a.bad = noUpstream(d)
	case d.Recoveries >= s.r.m.cfg.deaths:
		a.bad = fmt.Errorf("%w: %d times", task.ErrMinionDied, d.Recoveries)
	}
	return a
}

// known lists the names that have a handler, some of them if they are many.
func (r *run) known() string {
	names := make([]string, 0, len(r.m.handlers))
	for name := range r.m.handlers { // nothing is registered any more
		names = append(names, name)
	}
	slices.Sort(names)
	const most = 20
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}

// receive makes what ends the attempt, for a task that was received at a time.
func (a *attempt) receive(at time.Time) {
	a.received = at
	a.life.parent = a.s.ctx
	if a.d.Left != broker.NoDeadline {
		a.deadline = at.Add(a.d.Left)
	}
}

// arm makes the context of the handler, which is about to start.
func (a *attempt) arm() {
	d, m := a.d, a.s.r.m
	a.info = task.Info{
		ID: d.ID, Name: d.Name, Queue: d.Queue,
		Attempt: d.Attempt, Retried: d.Retried, MaxRetries: a.maxRetries(), Recoveries: d.Recoveries,
		Meta: d.Meta, Enqueued: d.Enqueued,
		Submitter: (*within)(a), OnSuccess: (*later)(a),
	}
	a.timeout = d.Timeout
	if a.timeout == 0 {
		a.timeout = a.h.Settings.Timeout
	}
	limit, cause := a.timeout, task.ErrTimeout
	if !a.deadline.IsZero() {
		if left := a.deadline.Sub(a.started); limit == 0 || left < limit {
			limit, cause = left, task.ErrExpired
		}
	}
	var ctx context.Context = &a.life
	a.limit = cause
	if limit != 0 {
		ctx, a.expire = context.WithTimeoutCause(ctx, limit, cause)
	}
	ctx = task.NewContext(ctx, &a.info)
	if len(m.cfg.use) > 0 {
		ctx = context.WithValue(ctx, attemptKey{}, a)
	}
	a.ctx = ctx
}

// execute runs the handler and settles the attempt, whatever the handler does:
// return, panic, or end its goroutine.
func (a *attempt) execute() {
	if a.started.IsZero() {
		a.started = time.Now()
	}
	var st broker.Settlement
	if settled, over := a.overtaken(&st); over {
		a.life.end(nil)
		a.s.r.end(a, &st, settled, true)
		return
	}
	a.arm()
	var err error
	returned := false
	defer func() {
		alive := true
		if !returned {
			p := recover()
			alive = p != nil // else it is a Goexit, which can't be held up
			err = newPanic(p)
		}
		settled := a.verdict(&st, err)
		a.life.end(nil)
		if a.expire != nil {
			a.expire()
		}
		a.s.r.end(a, &st, settled, alive)
	}()
	if run := a.h.run; run != nil {
		err = run(a.ctx)
	} else {
		err = a.handle(a.ctx)
	}
	returned = true
}

// handle calls the registered handler and keeps its result.
func (a *attempt) handle(ctx context.Context) error {
	a.result = nil
	if k := a.kin.Load(); k != nil { // middleware runs the handler again
		k.submits.reset()
		k.child.Reset()
	}
	var out []byte
	var err error
	if a.h.isolated {
		out, err = a.runIsolated(ctx)
	} else {
		out, err = a.h.Handler(ctx, a.codec, a.d.Payload, nil)
	}
	if err != nil {
		return err
	}
	if most := a.s.r.limits.Result; len(out) > most {
		return fmt.Errorf("%w: %w: %d bytes, the limit is %d", task.ErrBadResult, broker.ErrTooLarge, len(out), most)
	}
	a.result = out
	return nil
}

// maxRetries is how often the task may be retried: what the task says, else
// where its handler is registered, else the minion.
func (a *attempt) maxRetries() int {
	switch {
	case a.d.Retries >= 0:
		return a.d.Retries
	case a.h.Settings.Retries >= 0:
		return a.h.Settings.Retries
	}
	return a.s.r.m.cfg.retries
}

// backoff is how long the task waits before its next attempt.
func (a *attempt) backoff(err error) (d time.Duration) {
	policy := a.h.Settings.Backoff
	if policy == nil {
		policy = a.s.r.m.cfg.backoff
	}
	defer func() {
		if recover() != nil { // the policy is the user's
			d = task.DefaultBackoffBase
		}
	}()
	return policy(a.d.Retried+1, err)
}

// clamp makes a delay one that a broker takes.
func clamp(d time.Duration) time.Duration { return min(max(d, 0), broker.MaxDuration) }
