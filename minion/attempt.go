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
	"github.com/go-arbiter/arbiter/internal/seal"
	"github.com/go-arbiter/arbiter/task"
)

// attempt is one attempt at a task.
type attempt struct {
	s     *session
	d     *broker.Delivery
	h     *handler
	codec codec.Codec // nil if it is not known; what has opened the seal is a *seals

	info  atomic.Pointer[task.Info] // made when somebody asks for it
	kin   atomic.Pointer[kin]       // made when the handler first sends something
	waits int32                     // how many of its goroutines wait for other tasks; r.mu guards these three
	lent  bool                      // its slot is lent
	over  bool                      // it has ended
	// listed says whether it is in the session's roster.
	listed   bool
	together bool // it starts together with others of its squad, whatever it is suspected of
	suspect  bool // it may kill its minion; see blame.go

	life  life   // ends with the attempt, or what ends that
	timed *timed // life, with the end of what time there is; nil if there is none

	received time.Time     // what its deadline counts from
	asked    time.Duration // how long after that it was not sure that it starts
	started  time.Time
	result   []byte   // sealed, if the codec of the task seals
	room     [16]byte // for the result: most are short
	wrapped  *wrapped // guards result while middleware runs; nil without middleware

	left, right *attempt // in the session's roster
}

// timed is a context that ends by itself.
type timed struct {
	context.Context
	free context.CancelFunc // its timer
}

// newAttempt finds what is needed to run a delivery; bad says why it can't run.
func newAttempt(s *session, d *broker.Delivery) (a *attempt, bad error) {
	a = &attempt{s: s, d: d, h: s.r.m.handlers[d.Name]}
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
	case d.Upstream != "":
		bad = noUpstream(d, seal.Of(a.codec))
	case s.r.m.starter == nil && d.Recoveries >= s.r.m.cfg.deaths:
		bad = fmt.Errorf("%w: %d times", task.ErrMinionDied, d.Recoveries)
	}
	return a, bad
}

// known lists the names that have a handler, some of them if they are many.
func (r *run) known() string {
	names := make([]string, 0, len(r.m.handlers))
	for name := range r.m.handlers { // nothing is registered any more
		names = append(names, name)
	}
	slices.Sort(names)
	return few(names)
}

// few lists names, some of them if they are many.
func few(names []string) string {
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
}

// deadline returns that of the task, if it has one.
func (a *attempt) deadline() (at time.Time, ok bool) {
	if a.d.Left == broker.NoDeadline {
		return time.Time{}, false
	}
	return a.received.Add(a.d.Left), true
}

// timeout returns that of the attempt: what the task says, else where its handler
// is registered; 0 is none.
func (a *attempt) timeout() time.Duration {
	d := a.d.Timeout
	if d == 0 {
		d = a.h.Settings.Timeout
	}
	return max(d, 0) // broker.NoTimeout is none
}

// allowed returns how long the attempt may take from its start, and what it is
// that limits it; 0 is for ever.
func (a *attempt) allowed() (limit time.Duration, cause error) {
	limit, cause = a.timeout(), task.ErrTimeout
	if end, ok := a.deadline(); ok {
		if left := end.Sub(a.started); limit == 0 || left < limit {
			limit, cause = left, task.ErrExpired
		}
	}
	return limit, cause
}

// arm makes the context of the handler, which is about to start.
func (a *attempt) arm() {
	if limit, cause := a.allowed(); limit != 0 {
		ctx, free := context.WithTimeoutCause(&a.life, limit, cause)
		a.timed = &timed{ctx, free}
	}
}

// limits returns the context of the handler.
func (a *attempt) limits() context.Context {
	if a.timed != nil {
		return a.timed
	}
	return &a.life
}

// execute runs the handler and settles the attempt, whatever the handler does:
// return, panic, or end its goroutine.
// It returns the next attempt to run, and when this one ended.
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
	if over {
		st.Unstarted = st.Unstarted || !settled // no result is dropped, see lose
		a.life.end(nil)
		return a.s.r.end(a, &st, settled, true), time.Time{}
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
		a.conclude()
		settled := a.verdict(&st, err)
		a.life.end(nil)
		if a.timed != nil {
			a.timed.free()
		}
		next, ended = a.s.r.end(a, &st, settled, alive), st.Outcome.Finished
	}()
	ctx := (*handlerContext)(a)
	if run := a.h.run; run != nil {
		a.wrapped = new(wrapped)
		defer a.wrapped.end() // runs before the function above
		err = run(ctx)
	} else {
		err = a.handle(ctx)
	}
	returned = true
	return nil, time.Time{} // the deferred function says which
}

// handle calls the registered handler and keeps its result.
func (a *attempt) handle(ctx context.Context) error {
	out, err := a.call(ctx, a.room[:0])
	if err != nil {
		return err
	}
	a.result = out
	return nil
}

// call calls the registered handler and returns its result, which it may put into
// room.
func (a *attempt) call(ctx context.Context, room []byte) ([]byte, error) {
	var out []byte
	enc, args := a.codec, a.d.Payload
	if s := a.opened(); s != nil {
		enc, args = s.Plain(), s.args
	}
	var err error
	if a.h.isolated {
		out, err = a.runIsolated(ctx)
	} else if a.suspect && a.s.r.apart != nil {
		out, err = a.runApart(ctx, enc, args, room)
	} else {
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
		if p := recover(); p != nil { // the policy is the user's
			d = task.DefaultBackoffBase
			a.s.r.log.failed(slog.LevelError, "the backoff of the task panicked; it is retried after a second", a.d, newPanic(p))
		}
	}()
	return policy(a.d.Retried+1, err)
}

// clamp makes a delay one that a broker takes.
func clamp(d time.Duration) time.Duration { return min(max(d, 0), broker.MaxDuration) }
