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
// end: an outage that is shorter than the lease should cost none.
func (s *session) heartbeats(asked time.Time) {
	r := s.r
	wait := max(s.every-time.Since(asked), 0) // registering may have taken long
	for try := 0; ; {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			timer.Stop()
			return
		case <-s.bg.Done():
			timer.Stop()
			return
		}
		r.mu.Lock()
		load := broker.Load{Active: r.busy}
		r.mu.Unlock()
		began := time.Now() // the lease counts from when it was asked for
		ctx, cancel := context.WithTimeout(s.bg, s.lease/3)
		err := s.consumer.Heartbeat(ctx, load)
		cancel()
		switch {
		case err == nil:
			s.beaten(began)
			r.out.over("heartbeat")
			try, wait = 0, max(s.every-time.Since(began), 0)
		case errors.Is(err, broker.ErrLeaseLost) || errors.Is(err, broker.ErrClosed):
			s.lose(err)
			return
		default:
			if s.bg.Err() == nil && s.ctx.Err() == nil {
				r.out.failed("heartbeat", err)
			}
			wait = backoff.Delay(try, fastest, min(s.every/4, slowest))
			try++
		}
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
