package minion

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// consume takes tasks as long as there are free slots. It returns nil when the
// run is stopped, errLost when the lease is lost, and else what the broker
// said for good.
func (s *session) consume() error {
	r := s.r
	// What ends a dequeue: the run is stopped, or the lease lost.
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	unhook := context.AfterFunc(r.stop, cancel)
	defer unhook()
	for try := 0; ; {
		n := r.free(ctx)
		if n == 0 {
			return s.over()
		}
		// Whatever was cancelled before has been sorted out: what comes now was
		// not ours then.
		r.mu.Lock()
		if n = min(n, r.room()); n == 0 { // a squad or a handler has just got the slots
			r.mu.Unlock()
			continue
		}
		clear(s.early)
		once, end := context.WithCancel(ctx)
		r.interrupt = end
		r.mu.Unlock()
		got, err := s.consumer.Dequeue(once, r.pick.next(), n, dequeueWait)
		cut := once.Err() != nil
		end()
		s.take(got)
		switch {
		case ctx.Err() != nil:
			return s.over()
		case cut && errors.Is(err, context.Canceled):
			// There is less room now.
		case err == nil:
			r.out.over("dequeue")
			try = 0
		case errors.Is(err, broker.ErrClosed) || errors.Is(err, broker.ErrInvalid):
			return err
		case errors.Is(err, broker.ErrLeaseLost):
			s.lose(err)
			return errLost
		default:
			r.out.failed("dequeue", err)
			backoff.Sleep(ctx, backoff.Delay(try, fastest, slowest))
			try++
		}
	}
}

// over says why there is nothing more to take.
func (s *session) over() error {
	switch why := s.reason(); {
	case errors.Is(why, broker.ErrClosed):
		return why
	case why != nil:
		return errLost
	}
	return nil
}

// take starts what was dequeued, or settles what shall not run.
func (s *session) take(got []*broker.Delivery) {
	if len(got) == 0 {
		return
	}
	r := s.r
	now := time.Now()
	starts := s.starts[:0]
	var members []*attempt // of squads
	var settles []broker.Settlement
	for _, d := range got {
		if r.stop.Err() != nil { // it came too late to begin
			settles = append(settles, broker.Settlement{Delivery: d, Verb: broker.VerbRelease, Unstarted: true})
			continue
		}
		a, bad := newAttempt(s, d)
		var st broker.Settlement
		if settled, refused := a.refuse(&st, bad); refused {
			if settled {
				settles = append(settles, st)
			}
			continue
		}
		a.receive(now)
		if d.Squad {
			members = append(members, a)
			continue
		}
		starts = append(starts, a)
	}
	var canceled []*attempt
	r.mu.Lock()
	for _, a := range starts {
		if _, ok := s.early[a.d.ID]; ok {
			canceled = append(canceled, a)
		}
		s.running.add(a)
		r.ahead.push(a)
	}
	r.waiters.seen(r.spare())
	if !s.lost && !s.sealed {
		for _, a := range members {
			if s.running.find(a.d.ID) == nil { // else it was assigned, and comes this way too
				s.enroll(a)
			}
		}
	}
	if len(starts) > 0 {
		r.watchAhead()
		r.wake()
	}
	if !s.lost {
		for i := range settles {
			s.add(&settles[i])
		}
	}
	r.mu.Unlock()
	for _, a := range canceled {
		a.life.end(task.ErrCanceled)
	}
	alone := len(starts) == 1
	clear(starts)
	s.starts = starts
	if alone {
		// A lone task has nobody's time to share: its worker goes first, here, instead
		// of on a thread that must be woken for it, which takes as long as a third of a
		// round trip.
		runtime.Gosched()
	}
}
