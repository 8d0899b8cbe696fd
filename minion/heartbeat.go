package minion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
)

// heartbeats keeps the lease, which counts from when it was asked for, until the
// session is lost or over. The watchdog goes off by itself if no heartbeat
// succeeds for too long, even if one hangs. After a failure it tries often, to the
// end: an outage that is shorter than the lease should cost none. When the load
// has changed, the next heartbeat comes earlier: see load.go.
func (s *session) heartbeats(asked time.Time, moved <-chan struct{}) {
	r := s.r
	last, next := asked, asked.Add(s.every) // registering may have taken long
	early := false                          // the next one is only for the load
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
		began := time.Now() // the lease counts from when it was asked for
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

// answerPart is the part of a lease within which a heartbeat must be answered. One
// that is not may have been lost, so another one is sent.
const answerPart = 3

// heartbeat sends a heartbeat. It gives up if the lease is not renewed within a
// time, or if the broker takes longer than that for the rest afterwards.
func (s *session) heartbeat(parent context.Context, load int, within time.Duration) error {
	r := s.r
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	r.own.measure()
	began := time.Now() // the lease counts from when it was asked for
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
	s.beaten(began)
	r.own.tell(r.log)
	return nil
}

// renewed is called by the broker when the lease has been extended, as seen from
// when that was asked for. What the broker does afterwards may take as long as a
// second round trip; the lease does not depend on it.
func (s *session) renewed(asked time.Time) {
	s.beaten(asked)
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.renewing != nil {
		s.renewing()
	}
}

// beaten notes that the lease was renewed by a request that was sent at a time. The
// broker's lease begins later, so the minion's ends first.
func (s *session) beaten(at time.Time) {
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

// overdue is why the lease is lost when no heartbeat has renewed it in time.
func (s *session) overdue() error {
	r := s.r
	r.mu.Lock()
	trip := s.trip
	r.mu.Unlock()
	why := fmt.Errorf("%w: no heartbeat for %v", broker.ErrLeaseLost, s.lease-s.margin)
	l := line{renewal: trip, whole: trip}
	if delay, is := r.own.blamed(); is {
		why = fmt.Errorf("%w; this process is short of processor time: a goroutine waits %v for its turn", why, delay)
	} else if trip > s.every/2 {
		why = fmt.Errorf("%w; the last one was answered after %v, and such a line needs a lease of %v or more",
			why, trip.Round(time.Millisecond), max(l.shortest(), s.lease+leaseStep))
	}
	return why
}
