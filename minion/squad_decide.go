package minion

import (
	"context"
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// Whether a squad starts is decided once, in the broker: the first decision stays. The
// arbiter decides and tells the minions, but its message may be lost, and it may die. So
// a minion that has all members looks for the decision regularly. When its reservation
// ends, it decides itself that the squad does not start; if the arbiter was first, the
// broker answers that the squad has started.

// lookEvery is how often a minion with all members looks whether the squad has started.
// If the message was lost, other members run already.
const lookEvery = time.Second

// askTime is the timeout of a request about a squad. Slots are reserved meanwhile, so a
// request that hangs is repeated.
func (s *session) askTime() time.Duration { return s.lease / 3 }

// lookLater sets the timer for the next look. The caller holds r.mu.
func (s *session) lookLater(h *reservation) { h.timer.Reset(min(lookEvery, time.Until(h.until))) }

// look finds out whether a squad has started whose arbiter has sent nothing. If the time
// of the reservation is over, it ends the reservation.
func (s *session) look(h *reservation) {
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
		case err != nil: // the squad may have started
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

// decide asks the broker for the decision about a squad. If there is none yet, this
// decides that the squad does not start. The caller holds r.mu.
func (s *session) decide(h *reservation) {
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

// askDecision returns the decision. ok is false if ctx ended before it was known.
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
		case errors.Is(err, broker.ErrNotFound): // the squad ended long ago
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
