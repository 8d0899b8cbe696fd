package minion

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
	"github.com/go-arbiter/arbiter/internal/flow"
)

// Follow-ups are the work that settlements leave behind: moving groups and pipes on
// when a member has ended, and killing tasks that end with their parent. They may take
// many requests, so they must not delay settlements: one goroutine per session does
// them. Work that arrives meanwhile is queued. A follow-up that fails is tried again
// after a pause of its own. Nothing is lost if the minion ends first: the arrivals stay
// in the broker, and another minion finds them with its heartbeats.

// errands is the queue of follow-ups of a session.
type errands struct {
	mu     sync.Mutex
	queues map[string]struct{} // queues with arrivals
	kills  []broker.ID         // tasks that were sent by killed tasks, and end with them
	wake   chan struct{}
	done   chan struct{} // closed when the goroutine has ended
	failed []errand      // follow-ups to try again; only the goroutine uses it
}

// kill queues tasks and flows to be killed. It does not block.
func (e *errands) kill(ids []broker.ID) {
	if len(ids) == 0 {
		return
	}
	e.mu.Lock()
	e.kills = append(e.kills, ids...)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// lastErrands is how long an ending session still works on follow-ups. If some have
// failed, it is session.parting instead.
const lastErrands = time.Second

func newErrands() errands {
	return errands{queues: make(map[string]struct{}), wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// tell notes that a queue has arrivals. It does not block.
func (e *errands) tell(queue string) {
	e.mu.Lock()
	e.queues[queue] = struct{}{}
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// errand is one follow-up: either queue or kills is set.
type errand struct {
	queue string      // a queue with arrivals
	kills []broker.ID // or tasks and flows to kill
	tries int         // how often it has failed
	due   time.Time   // when to try it again
}

func (n *errand) do(ctx context.Context, d *flow.Driver) error {
	if n.kills != nil {
		return d.KillAll(ctx, n.kills)
	}
	return d.Drain(ctx, n.queue)
}

// what names the follow-up in the log.
func (n *errand) what() string {
	if n.kills != nil {
		return "kills"
	}
	return "flows of " + n.queue
}

// next removes and returns the follow-up to do now: a failed one if its pause is over,
// else a new one. A queue with new arrivals does not wait for the pause of a failed
// follow-up of that queue, because the new arrivals need not fail. If there is none,
// due is when the next failed one is to be tried; zero if there are no failed ones.
func (e *errands) next() (n errand, due time.Time, ok bool) {
	first := -1
	for i := range e.failed {
		if first < 0 || e.failed[i].due.Before(e.failed[first].due) {
			first = i
		}
	}
	if first >= 0 {
		if due = e.failed[first].due; !time.Now().Before(due) {
			n = e.failed[first]
			e.failed = slices.Delete(e.failed, first, first+1)
			return n, due, true
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kills) > 0 {
		n.kills, e.kills = e.kills, nil
		return n, due, true
	}
	for queue := range e.queues {
		delete(e.queues, queue)
		n.queue = queue
		same := func(old errand) bool { return old.queue == queue }
		if i := slices.IndexFunc(e.failed, same); i >= 0 {
			n = e.failed[i]
			e.failed = slices.Delete(e.failed, i, i+1)
		}
		return n, due, true
	}
	return n, due, false
}

// again queues a failed follow-up. Each has its own pause, so none waits for another.
func (e *errands) again(n errand) {
	n.due = time.Now().Add(backoff.Delay(n.tries, fastest, slowest))
	n.tries++
	e.failed = append(e.failed, n)
}

// runErrands does follow-ups until the session has nothing left to settle, and a moment
// longer: the last settlements add some, and a failed one may still succeed.
func (s *session) runErrands() {
	e := &s.errands
	defer close(e.done)
	d := &flow.Driver{Broker: s.r.m.b, Codecs: s.r.codecs, Log: s.r.m.cfg.log}
	ctx, cancel := context.WithCancel(s.bg)
	defer cancel()
	flushed := s.flushed
	for {
		n, due, ok := e.next()
		if ok {
			if !s.doErrand(ctx, d, n) {
				return
			}
			continue
		}
		if flushed == nil && due.IsZero() {
			return
		}
		var retry <-chan time.Time
		if !due.IsZero() {
			retry = time.After(time.Until(due))
		}
		select {
		case <-e.wake:
		case <-retry:
		case <-flushed:
			flushed = nil
			last := lastErrands
			if !due.IsZero() {
				last = s.parting()
			}
			defer time.AfterFunc(last, cancel).Stop()
		case <-ctx.Done():
			return
		}
	}
}

// doErrand does one follow-up. It reports whether the goroutine may go on.
func (s *session) doErrand(ctx context.Context, d *flow.Driver, n errand) bool {
	err := n.do(ctx, d)
	switch {
	case err == nil:
		s.r.out.over(n.what())
	case ctx.Err() != nil || errors.Is(err, broker.ErrClosed):
		return false
	default:
		if !s.r.out.failed(n.what(), err) && n.tries == 0 {
			s.r.log.warn("follow-up of a settlement failed, trying again", "op", n.what(), "error", err)
		}
		s.errands.again(n)
	}
	return true
}
