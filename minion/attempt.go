package minion

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
)

// An attempt is one execution of a task. It finds the handler and codec of its delivery,
// gives the handler a context that ends with the timeout, the deadline, a cancellation
// or the lease, calls the handler, and turns its return, panic or Goexit into a
// settlement (see outcome.go). Attempts are made in large numbers, so anything that few
// handlers use, such as contexts and submitters, is made only on demand.

// attempt is one execution of a task.
type attempt struct {
	s     *session
	d     *broker.Delivery
	h     *handler
	codec codec.Codec // nil if the name is unknown; a *seals once the payload has been opened

	info  atomic.Pointer[task.Info]    // made when the handler asks for it
	sent  atomic.Pointer[sentCalls]    // made when the handler first sends something
	steps atomic.Pointer[attemptSteps] // made when the handler first uses a durable step
	slot  slotUse                      // run.mu guards it and the next two
	// listed reports whether the attempt is in the list of its session.
	listed   bool
	entry    entry
	together bool // it starts together with its squad, even if it is a suspect
	suspect  bool // it may have killed a minion; see blame.go

	ctx   lazyContext // the context of the attempt; timed adds the time limit
	timed *timed      // ctx with the time limit; nil if there is no limit

	received time.Time     // when the minion received the task; the deadline counts from here
	asked    time.Duration // how much later it was known that the attempt starts; 0 except for members of squads
	started  time.Time
	result   []byte   // sealed, if the codec of the task seals
	room     [16]byte // memory for the result, which is usually short
	wrapped  *wrapped // guards result while middleware runs; nil without middleware

	left, right *attempt // neighbours in the session's list of attempts
}

// timed is a context with a time limit.
type timed struct {
	context.Context
	free context.CancelFunc // releases the timer
}

// newAttempt makes an attempt of a delivery. bad is the reason why the attempt can't run,
// or nil.
func newAttempt(s *session, d *broker.Delivery) (a *attempt, bad error) {
	a = &attempt{s: s, d: d, h: s.r.m.handlers[d.Name]}
	a.setSlots()
	if a.codec, bad = codec.ByName(d.Codec, s.r.codecs...); bad != nil {
		bad = unfitCodec(d.Codec, bad)
	}
	switch {
	case d.Version != 0:
		bad = unable{d.Err}
	case d.Err != nil:
		bad = d.Err
	case a.h == nil:
		bad = unable{fmt.Errorf("%w %q: this minion knows %s", task.ErrUnknownTask, d.Name, s.r.known())}
	case d.Flow.Upstream != "":
		bad = noUpstream(d, seal.Of(a.codec))
	case s.r.m.starter == nil && d.Recoveries >= s.r.m.cfg.deaths:
		bad = fmt.Errorf("%w: %d times", task.ErrMinionDied, d.Recoveries)
	}
	return a, bad
}

// known lists the names of the registered handlers for an error message.
func (r *run) known() string {
	names := make([]string, 0, len(r.m.handlers))
	for name := range r.m.handlers { // the map no longer changes: Register fails after Run
		names = append(names, name)
	}
	slices.Sort(names)
	return few(names)
}

// few joins names for a message, at most 20 of them.
func few(names []string) string {
	const most = 20
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return strings.Join(names, ", ")
}

// receive notes when the minion received the task, and prepares the attempt's context.
func (a *attempt) receive(at time.Time) {
	a.received = at
	a.ctx.parent = a.s.ctx //nolint:fatcontext // it is set once, before the context is used
}

// deadline returns the deadline of the task, if it has one.
func (a *attempt) deadline() (at time.Time, ok bool) {
	if a.d.Left == broker.NoDeadline {
		return time.Time{}, false
	}
	return a.received.Add(a.d.Left), true
}

// timeout returns the timeout of the attempt: the task's own, else the one of the
// handler's registration. 0 is none.
func (a *attempt) timeout() time.Duration {
	d := a.d.Timeout
	if d == 0 {
		d = a.h.Settings.Timeout
	}
	return max(d, 0) // broker.NoTimeout is negative
}

// allowed returns how long the attempt may take from its start, and the cause of the
// context's end after that time. 0 is no limit.
func (a *attempt) allowed() (limit time.Duration, cause error) {
	limit, cause = a.timeout(), task.ErrTimeout
	if end, ok := a.deadline(); ok {
		if left := end.Sub(a.started); limit == 0 || left < limit {
			limit, cause = left, task.ErrExpired
		}
	}
	return limit, cause
}

// arm makes the context with the time limit for the handler, which is about to start.
func (a *attempt) arm() {
	if limit, cause := a.allowed(); limit != 0 {
		ctx, free := context.WithTimeoutCause(&a.ctx, limit, cause)
		a.timed = &timed{ctx, free}
	}
}

// limits returns the context whose end the handler sees.
func (a *attempt) limits() context.Context {
	if a.timed != nil {
		return a.timed
	}
	return &a.ctx
}

// execute runs the handler and settles the attempt, whether the handler returns, panics
// or ends its goroutine. It returns the next attempt for this worker, and when this one
// ended.
func (a *attempt) execute() (next *attempt, ended time.Time) {
	if a.started.IsZero() {
		a.started = time.Now()
	}
	var st broker.Settlement
	settled, over := false, false
	if a.d.Recoveries >= a.s.r.recordFrom {
		settled, over = a.examine(&st)
	}
	if !over {
		settled, over = a.overtaken(&st)
	}
	if !over {
		if bad := a.unseal(); bad != nil {
			settled, _ = a.refuse(&st, bad)
			over = true
		}
	}
	if !over && a.d.Unique.UntilStart {
		settled, over = a.startKey(&st)
	}
	if over {
		st.Unstarted = st.Unstarted || !settled // no handler ran, so no result is lost: see run.lose
		a.ctx.end(nil)
		return a.s.r.end(a, &st, settled, true), time.Time{}
	}
	a.arm()
	var err error
	returned := false
	defer func() {
		alive := true
		if !returned {
			p := recover()
			alive = p != nil // otherwise it is a Goexit, which ends this goroutine
			err = failure.NewPanic(p)
		}
		a.conclude()
		settled := a.outcome(&st, err)
		a.ctx.end(nil)
		if a.timed != nil {
			a.timed.free()
		}
		next, ended = a.s.r.end(a, &st, settled, alive), st.Outcome.Finished
	}()
	ctx := (*handlerContext)(a)
	if run := a.h.run; run != nil {
		a.wrapped = new(wrapped)
		defer a.wrapped.end() // deferred later, so it runs before the function above
		err = run(ctx)
	} else {
		err = a.handle(ctx)
	}
	returned = true
	return nil, time.Time{} // the deferred function sets both
}

// handle calls the registered handler and stores its result.
func (a *attempt) handle(ctx context.Context) error {
	out, err := a.call(ctx, a.room[:0])
	if err != nil {
		return err
	}
	a.result = out
	return nil
}

// call calls the registered handler and returns its result. The handler may encode the
// result into room.
func (a *attempt) call(ctx context.Context, room []byte) ([]byte, error) {
	var out []byte
	enc, args := a.codec, a.d.Payload
	if s := a.opened(); s != nil {
		enc, args = s.Plain(), s.args
	}
	var err error
	switch {
	case a.h.isolated:
		out, err = a.runIsolated(ctx)
	case a.suspect && a.s.r.suspectPool != nil:
		out, err = a.runSuspect(ctx, enc, args, room)
	default:
		out, err = a.h.Handler(ctx, enc, args, room)
	}
	if s := a.opened(); s != nil && err == nil {
		out, err = a.sealResult(s.Sealer, out)
	}
	if err != nil {
		return nil, err
	}
	if most := a.s.r.limits.Result; len(out) > most {
		return nil, fmt.Errorf("%w: %w: %d bytes, the limit is %d", task.ErrBadResult, broker.ErrTooLarge, len(out), most)
	}
	return out, nil
}

// maxRetries returns how often the task may be retried: the task's own setting, else the
// one of the handler's registration, else the minion's.
func (a *attempt) maxRetries() int {
	switch {
	case a.d.Retries >= 0:
		return a.d.Retries
	case a.h.Settings.Retries >= 0:
		return a.h.Settings.Retries
	}
	return a.s.r.m.cfg.retries
}

// backoff returns how long the task waits before its next attempt.
func (a *attempt) backoff(err error) (d time.Duration) {
	policy := a.h.Settings.Backoff
	if policy == nil {
		policy = a.s.r.m.cfg.backoff
	}
	defer func() {
		if p := recover(); p != nil { // the policy is code of the user
			d = task.DefaultBackoffBase
			a.s.r.log.failed(slog.LevelError, "the backoff policy of the task panicked; the task is retried after a second", a.d, failure.NewPanic(p))
		}
	}()
	return policy(a.d.Retried+1, err)
}

// clamp limits a delay to the range that a broker accepts.
func clamp(d time.Duration) time.Duration { return min(max(d, 0), broker.MaxDuration) }
