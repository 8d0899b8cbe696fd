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

// errands are what settled tasks have left to do: groups and pipes to move on,
// tasks to enqueue. One goroutine per session does them; what is told while it
// is at work it does next. What it leaves another minion finds with a heartbeat.
type errands struct {
	mu     sync.Mutex
	queues map[string]struct{} // which have arrivals
	kills  []broker.ID         // of what was sent by tasks that were killed
	wake   chan struct{}
	done   chan struct{} // closed when nothing is done any more
	failed []errand      // to be tried again; only the goroutine that does them looks at it
}

// kill notes what is to be killed.
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

// lastErrands is how long a session that ends still does errands; lastWords, if
// some have failed.
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

// errand is one of them.
type errand struct {
	queue string      // that has arrivals
	kills []broker.ID // or what is to be killed
	tries int         // how often it has failed
	due   time.Time   // when it is tried again
}

func (n *errand) do(ctx context.Context, d *flow.Driver) error {
	if n.kills != nil {
		return d.KillAll(ctx, n.kills)
	}
	return d.Drain(ctx, n.queue)
}

// what says what it is, for outages and the log.
func (n *errand) what() string {
	if n.kills != nil {
		return "kills"
	}
	return "flows of " + n.queue
}

// next returns an errand, and forgets it: one that has failed if its pause is over,
// else a new one. A queue with new arrivals does not wait for the pause: what has
// failed there need not be what has come. If there is none it says when one is due;
// zero is never.
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

// again notes an errand that has failed. Each has its own pause: none waits for
// another.
func (e *errands) again(n errand) {
	n.due = time.Now().Add(backoff.Delay(n.tries, fastest, slowest))
	n.tries++
	e.failed = append(e.failed, n)
}

// runErrands does errands until the session has nothing left to settle, and a
// moment longer: the last settlements bring some, and one that has failed may
// succeed yet.
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

// doErrand reports whether there is time for more.
func (s *session) doErrand(ctx context.Context, d *flow.Driver, n errand) bool {
	err := n.do(ctx, d)
	switch {
	case err == nil:
		s.r.out.over(n.what())
	case ctx.Err() != nil || errors.Is(err, broker.ErrClosed):
		return false
	default:
		if !s.r.out.failed(n.what(), err) && n.tries == 0 {
			s.r.log.warn("errand failed, trying again", "op", n.what(), "error", err)
		}
		s.errands.again(n)
	}
	return true
}
