package minion

import (
	"context"
	"errors"
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

// lastErrands is how long a session that ends still does errands.
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
}

func (n errand) do(ctx context.Context, d *flow.Driver) error {
	if n.kills != nil {
		return d.KillAll(ctx, n.kills)
	}
	return d.Drain(ctx, n.queue)
}

// next returns an errand, and forgets it.
func (e *errands) next() (n errand, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kills) > 0 {
		n.kills, e.kills = e.kills, nil
		return n, true
	}
	for queue := range e.queues {
		delete(e.queues, queue)
		return errand{queue: queue}, true
	}
	return errand{}, false
}

// again notes an errand that has failed.
func (e *errands) again(n errand) {
	if n.kills != nil {
		e.kill(n.kills)
	} else {
		e.tell(n.queue)
	}
}

// runErrands does errands until the session has nothing left to settle.
func (s *session) runErrands() {
	defer close(s.errands.done)
	d := &flow.Driver{Broker: s.r.m.b, Codecs: s.r.codecs, Log: s.r.m.cfg.log}
	if s.doErrands(s.bg, d, s.flushed) {
		// What the last settlements have brought.
		ctx, cancel := context.WithTimeout(s.bg, lastErrands)
		defer cancel()
		gone := make(chan struct{})
		close(gone)
		s.doErrands(ctx, d, gone)
	}
}

// doErrands returns when there are none and flushed is closed, or false when ctx
// has ended.
func (s *session) doErrands(ctx context.Context, d *flow.Driver, flushed <-chan struct{}) bool {
	for try := 0; ; {
		errand, ok := s.errands.next()
		if !ok {
			select {
			case <-s.errands.wake:
				continue
			default:
			}
			select {
			case <-s.errands.wake:
			case <-flushed:
				return true
			case <-ctx.Done():
				return false
			}
			continue
		}
		err := errand.do(ctx, d)
		switch {
		case err == nil:
			s.r.out.over("flows")
			try = 0
		case ctx.Err() != nil || errors.Is(err, broker.ErrClosed):
			return false
		default:
			s.r.out.failed("flows", err)
			s.errands.again(errand)
			if !backoff.Sleep(ctx, backoff.Delay(try, fastest, slowest)) {
				return false
			}
			try++
		}
	}
}
