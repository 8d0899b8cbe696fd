package minion

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// The consume loop of a session dequeues tasks from the broker and queues them for the
// workers. It asks for as many tasks as there are free slots, and for some more where
// prefetch allows it (see room). A dequeue blocks until there is a task; it is cut short
// when the free slots are reserved for a squad. Tasks that can't or must not run are
// settled here, without a worker.

// consume dequeues tasks while there is room for them. It returns nil when the run is
// stopped, errLost when the lease is lost, and otherwise the final error of the broker.
func (s *session) consume() error {
	r := s.r
	// ctx ends a dequeue when the run is stopped or the lease is lost.
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	unhook := context.AfterFunc(r.stop, cancel)
	defer unhook()
	for try := 0; ; {
		n := r.free(ctx)
		if n == 0 {
			return s.over()
		}
		// early has cancellations of tasks that were handed out to this minion. The
		// tasks of the next dequeue are not among them: they are not handed out yet.
		l := r.lock()
		n = min(n, l.room())
		queues, n := l.askable(r.pick.next(), n)
		if n == 0 || len(queues) == 0 { // a squad, or a handler that had lent its slot, has just taken the slots
			l.unlock()
			continue
		}
		clear(s.early)
		once, end := context.WithCancel(ctx)
		r.interrupt = end
		l.unlock()
		got, err := s.consumer.Dequeue(once, queues, n, dequeueWait)
		cut := once.Err() != nil
		end()
		if err == nil {
			r.answered(queues, n, got)
		}
		s.take(got)
		switch {
		case ctx.Err() != nil:
			return s.over()
		case cut && errors.Is(err, context.Canceled):
			// The slots were reserved: compute the room again.
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

// over returns why consume ends: nil if the run was stopped.
func (s *session) over() error {
	switch why := s.reason(); {
	case errors.Is(why, broker.ErrClosed):
		return why
	case why != nil:
		return errLost
	}
	return nil
}

// take queues the dequeued tasks for the workers, and settles the ones that must not run.
func (s *session) take(got []*broker.Delivery) {
	if len(got) == 0 {
		return
	}
	r := s.r
	now := time.Now()
	starts := s.starts[:0]
	var members []*attempt // members of squads
	var settles []broker.Settlement
	for _, d := range got {
		if r.stop.Err() != nil { // too late to start
			settles = append(settles, broker.Settlement{Delivery: d, Verb: broker.VerbGiveBack, Unstarted: true})
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
		if d.Flow.Squad {
			members = append(members, a)
			continue
		}
		starts = append(starts, a)
	}
	var canceled, off []*attempt
	l := r.lock()
	for _, a := range starts {
		if _, ok := s.early[a.d.ID]; ok {
			canceled = append(canceled, a)
		}
		s.running.add(a)
		if !l.admit(a, now) {
			off = append(off, a)
		}
	}
	r.waiters.Seen(l.spare())
	if len(starts) > 0 {
		l.watchPrefetched()
		l.wake()
	}
	if !s.lost {
		for i := range settles {
			l.add(s, &settles[i])
		}
	}
	l.unlock()
	for _, a := range members {
		s.squads.Enroll(a.d.Flow.ID, a)
	}
	for _, a := range canceled {
		a.ctx.end(task.ErrCanceled)
	}
	r.tellPutOff(off)
	alone := len(starts) == 1
	clear(starts)
	s.starts = starts
	if alone {
		// A single task leaves no work for this goroutine: yield, so that its worker
		// runs first, on this thread. Waking another thread takes as long as a third
		// of a round trip.
		runtime.Gosched()
	}
}
