package minion

import (
	"context"
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
)

// lookEvery is how often a minion with all members looks whether the squad has
// started: the word may be lost. Others run already, then.
const lookEvery = time.Second

// askTime is how long a request about a squad may take: slots are held meanwhile,
// and one that hangs is made again.
func (s *session) askTime() time.Duration { return s.lease / 3 }

// lookLater has somebody look after h in a while. r.mu is held.
func (s *session) lookLater(h *hold) { h.timer.Reset(min(lookEvery, time.Until(h.until))) }

// look finds out whether a squad has started whose arbiter says nothing. When the
// time of its places is over that is decided.
func (s *session) look(h *hold) {
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	flows, ok := r.m.b.(broker.Flows)
	if !ok || h.done || h.deciding || !time.Now().Before(h.until) {
		s.release(h)
		return
	}
	r.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.bg, s.askTime())
		p, err := flows.LookupFlow(ctx, h.squad)
		cancel()
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case h.done || h.deciding:
		case err != nil: // others may run already
			h.timer.Reset(min(backoff.Delay(h.looks, fastest, lookEvery), time.Until(h.until)))
			h.looks++
		case p.Marks&broker.MarkStarted != 0:
			s.conclude(h, true)
		default:
			h.looks = 0
			s.lookLater(h)
		}
	})
}

// decide asks the broker what was decided of a squad, and decides that it does
// not start if nothing was. r.mu is held.
func (s *session) decide(h *hold) {
	if h.deciding {
		return
	}
	h.deciding = true
	s.r.wg.Go(func() {
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		defer context.AfterFunc(s.r.stop, cancel)()
		started, ok := s.askDecision(ctx, h.squad)
		s.r.mu.Lock()
		defer s.r.mu.Unlock()
		if ok {
			s.conclude(h, started)
		}
	})
}

// askDecision returns what was decided; not ok if ctx ended before that was
// known.
func (s *session) askDecision(ctx context.Context, id broker.ID) (started, ok bool) {
	b, can := s.r.m.b.(broker.Squads)
	if !can {
		return false, true
	}
	for try := 0; ctx.Err() == nil; try++ {
		once, cancel := context.WithTimeout(ctx, s.askTime())
		started, err := b.Decide(once, id, false)
		cancel()
		switch {
		case err == nil:
			s.r.out.over("squads")
			return started, true
		case errors.Is(err, broker.ErrNotFound): // it has ended long ago
			return false, true
		case errors.Is(err, broker.ErrClosed):
			return false, false
		case ctx.Err() == nil:
			s.r.out.failed("squads", err)
		}
		backoff.Sleep(ctx, backoff.Delay(try, fastest, slowest))
	}
	return false, false
}
