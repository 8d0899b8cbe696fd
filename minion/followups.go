package minion

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
)

// Follow-ups are the work that settlements leave behind: moving groups and pipes on
// when a member has ended, and killing tasks that end with their parent. They may take
// many requests, so they must not delay settlements: one goroutine per session does
// them. Work that arrives meanwhile is queued. A follow-up that fails is tried again
// after a pause of its own. If the minion ends first, the arrivals stay in the broker, and
// another minion finds them with its heartbeats.

// followUps is the queue of follow-ups of a session.
type followUps struct {
	mu     sync.Mutex
	queues map[string]struct{} // queues with arrivals
	kills  []broker.ID         // tasks that were sent by killed tasks, and end with them
	wake   chan struct{}
	done   chan struct{} // closed when the goroutine has ended
	failed []followUp    // follow-ups to try again; only the goroutine uses it
}

// kill queues tasks and flows to be killed. It does not block.
func (f *followUps) kill(ids []broker.ID) {
	if len(ids) == 0 {
		return
	}
	f.mu.Lock()
	f.kills = append(f.kills, ids...)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// lastFollowUps is how long an ending session still works on follow-ups. If some have
// failed, it is session.parting instead.
const lastFollowUps = time.Second

func newFollowUps() followUps {
	return followUps{queues: make(map[string]struct{}), wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// tell notes that a queue has arrivals. It does not block.
func (f *followUps) tell(queue string) {
	f.mu.Lock()
	f.queues[queue] = struct{}{}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// followUp is one follow-up: either queue or kills is set.
type followUp struct {
	queue string      // a queue with arrivals
	kills []broker.ID // or tasks and flows to kill
	tries int         // how often it has failed
	due   time.Time   // when to try it again
}

func (n *followUp) do(ctx context.Context, d *flow.Driver) error {
	if n.kills != nil {
		return d.KillAll(ctx, n.kills)
	}
	return d.Drain(ctx, n.queue)
}

// what names the follow-up in the log.
func (n *followUp) what() string {
	if n.kills != nil {
		return "kills"
	}
	return "flows of " + n.queue
}

// next removes and returns the follow-up to do now: a failed one if its pause is over,
// else a new one. A queue with new arrivals does not wait for the pause of a failed
// follow-up of that queue, because the new arrivals need not fail. If there is none,
// due is when the next failed one is to be tried; zero if there are no failed ones.
func (f *followUps) next() (n followUp, due time.Time, ok bool) {
	first := -1
	for i := range f.failed {
		if first < 0 || f.failed[i].due.Before(f.failed[first].due) {
			first = i
		}
	}
	if first >= 0 {
		if due = f.failed[first].due; !time.Now().Before(due) {
			n = f.failed[first]
			f.failed = slices.Delete(f.failed, first, first+1)
			return n, due, true
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kills) > 0 {
		n.kills, f.kills = f.kills, nil
		return n, due, true
	}
	for queue := range f.queues {
		delete(f.queues, queue)
		n.queue = queue
		same := func(old followUp) bool { return old.queue == queue }
		if i := slices.IndexFunc(f.failed, same); i >= 0 {
			n = f.failed[i]
			f.failed = slices.Delete(f.failed, i, i+1)
		}
		return n, due, true
	}
	return n, due, false
}

// again queues a failed follow-up. Each has its own pause, so none waits for another.
func (f *followUps) again(n followUp) {
	n.due = time.Now().Add(backoff.Delay(n.tries, fastest, slowest))
	n.tries++
	f.failed = append(f.failed, n)
}

// runFollowUps does follow-ups until the session has nothing left to settle, and a moment
// longer: the last settlements add some, and a failed one may still succeed.
func (s *session) runFollowUps() {
	f := &s.followUps
	defer close(f.done)
	d := &flow.Driver{Broker: s.r.m.b, Codecs: s.r.codecs, Log: s.r.m.cfg.log}
	ctx, cancel := context.WithCancel(s.bg)
	defer cancel()
	flushed := s.flushed
	for {
		n, due, ok := f.next()
		if ok {
			if !s.doFollowUp(ctx, d, n) {
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
		case <-f.wake:
		case <-retry:
		case <-flushed:
			flushed = nil
			last := lastFollowUps
			if !due.IsZero() {
				last = s.parting()
			}
			defer time.AfterFunc(last, cancel).Stop()
		case <-ctx.Done():
			return
		}
	}
}

// doFollowUp does one follow-up. It reports whether the goroutine may go on.
func (s *session) doFollowUp(ctx context.Context, d *flow.Driver, n followUp) bool {
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
		s.followUps.again(n)
	}
	return true
}
