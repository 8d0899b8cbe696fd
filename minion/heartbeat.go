package minion

import (
	"context"
	"errors"
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
		ctx, cancel := context.WithTimeout(s.bg, s.lease/3)
		err := s.consumer.Heartbeat(ctx, broker.Load{Active: load})
		cancel()
		switch {
		case err == nil:
			s.beaten(began)
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

// beaten notes that the lease was renewed at a time.
func (s *session) beaten(at time.Time) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if !s.lost {
		s.watchdog.Reset(time.Until(at.Add(s.lease - s.margin)))
	}
}
