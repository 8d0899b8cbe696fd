package minion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// A minion owns its tasks by a lease, which heartbeats renew. The minion counts the lease
// from the moment when it sent the request, and the broker from the moment when the
// request arrived: so the minion always considers the lease lost before the broker does.
// A watchdog timer ends the session if no heartbeat succeeds in time, even if one hangs.
// A failed heartbeat is repeated often until then, because an outage that is shorter than
// the lease should cost no task. A heartbeat also reports the load, and comes earlier when
// the load has changed: see load.go.

// heartbeats renews the lease until the session is lost or over. asked is when the
// consumer was registered; moved receives when the load changes.
func (s *session) heartbeats(asked time.Time, moved <-chan struct{}) {
	r := s.r
	last, next := asked, asked.Add(s.every) // registering may have taken long
	early := false                          // the next heartbeat is only for the load
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for try := 0; ; {
		select {
		case <-timer.C:
		case <-moved:
			at := time.Now().Add(loadCalm)
			if soonest := last.Add(loadGap); at.Before(soonest) {
				at = soonest
			}
			if try == 0 && at.Before(next) {
				next, early = at, true
				timer.Reset(time.Until(next))
			}
			continue
		case <-s.ctx.Done():
			return
		case <-s.bg.Done():
			return
		}
		load, news := r.tell()
		if early && !news {
			next, early = last.Add(s.every), false
			timer.Reset(time.Until(next))
			continue
		}
		early = false
		began := time.Now() // the lease counts from when it was requested
		err := s.heartbeat(s.bg, load, s.lease/answerPart)
		switch {
		case err == nil:
			r.out.over("heartbeat")
			try, last, next = 0, began, began.Add(s.every)
		case errors.Is(err, broker.ErrLeaseLost) || errors.Is(err, broker.ErrClosed):
			s.lose(err)
			return
		default:
			if s.bg.Err() == nil && s.ctx.Err() == nil {
				r.out.failed("heartbeat", err)
			}
			next = time.Now().Add(backoff.Delay(try, fastest, min(s.every/4, slowest)))
			try++
		}
		timer.Reset(time.Until(next))
	}
}

// answerPart is the divisor of the lease that gives the timeout of a heartbeat. One that
// is not answered within that time may be lost, so another one is sent.
const answerPart = 3

// heartbeat sends one heartbeat. It fails if the lease is not renewed within the given
// time, or if the rest of the request takes longer than that after the renewal.
func (s *session) heartbeat(parent context.Context, load int, within time.Duration) error {
	r := s.r
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	r.own.measure()
	began := time.Now() // the lease counts from when it was requested
	timer := time.AfterFunc(within, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	probe := time.NewTimer(within / 4)
	defer probe.Stop()
	over := make(chan struct{})
	defer close(over)
	r.wg.Go(func() { r.own.watch(probe, within/4, over) })
	r.mu.Lock()
	s.renewing = func() { timer.Reset(within) }
	r.mu.Unlock()
	err := s.consumer.Heartbeat(ctx, broker.Load{Active: load})
	took := time.Since(began)
	r.mu.Lock()
	s.renewing = nil
	r.mu.Unlock()
	if err != nil {
		if context.Cause(ctx) == context.DeadlineExceeded && errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w: no answer within %v: %w", broker.ErrUnavailable, took.Round(time.Millisecond), context.DeadlineExceeded)
		}
		return err
	}
	s.noteRenewal(began)
	r.own.tell(r.log)
	return nil
}

// onRenewed is called by the broker as soon as the lease is extended. asked is when that
// was requested. The rest of the heartbeat may take a second round trip, on which the
// lease does not depend.
func (s *session) onRenewed(asked time.Time) {
	s.noteRenewal(asked)
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.renewing != nil {
		s.renewing()
	}
}

// noteRenewal notes that a request sent at the given time has renewed the lease. The lease of
// the broker begins when the request arrives, so it ends later than the minion's.
func (s *session) noteRenewal(at time.Time) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if !at.After(s.asked) {
		return
	}
	s.asked = at
	s.trip = time.Since(at)
	if !s.lost && s.watchdog != nil {
		s.watchdog.Reset(time.Until(at.Add(s.lease - s.margin)))
	}
}

// overdue returns the error for a lease that no heartbeat has renewed in time.
func (s *session) overdue() error {
	r := s.r
	r.mu.Lock()
	trip := s.trip
	r.mu.Unlock()
	why := fmt.Errorf("%w: no heartbeat for %v", broker.ErrLeaseLost, s.lease-s.margin)
	l := connDelay{renewal: trip, whole: trip}
	if delay, is := r.own.blamed(); is {
		why = fmt.Errorf("%w; this process is short of processor time: a goroutine waits %v to be scheduled", why, delay)
	} else if trip > s.every/2 {
		why = fmt.Errorf("%w; the last one was answered after %v, and such a slow connection needs a lease of %v or more",
			why, trip.Round(time.Millisecond), max(l.shortest(), s.lease+leaseStep))
	}
	return why
}
