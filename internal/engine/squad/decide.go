package squad

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
//
// Reservations.mu is held while a function of this file runs, except look and askDecision.

const (
	// lookEvery is how often a minion with all members looks whether the squad has started.
	// If the message was lost, other members run already.
	lookEvery = time.Second

	fastest = 50 * time.Millisecond
	slowest = 2 * time.Second
)

// lookLater sets the timer for the next look.
func (r *Reservations[M]) lookLater(h *reservation[M]) {
	h.timer.Reset(min(lookEvery, time.Until(h.until)))
}

// look finds out whether a squad has started whose arbiter has sent nothing. If the time
// of the reservation is over, it ends the reservation.
func (r *Reservations[M]) look(h *reservation[M]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	flows, ok := r.broker.(broker.Flows)
	if !ok || h.done || h.deciding || !time.Now().Before(h.until) {
		r.release(h)
		return
	}
	r.session.Go(func() {
		ctx, cancel := context.WithTimeout(r.session.End, r.session.Timeout)
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
			r.conclude(h, true)
		default:
			h.looks = 0
			r.lookLater(h)
		}
	})
}

// decide asks the broker for the decision about a squad. If there is none yet, this
// decides that the squad does not start.
func (r *Reservations[M]) decide(h *reservation[M]) {
	if h.deciding {
		return
	}
	h.deciding = true
	r.session.Go(func() {
		ctx, cancel := context.WithCancel(r.session.Lease)
		defer cancel()
		defer context.AfterFunc(r.session.Stop, cancel)()
		started, ok := r.askDecision(ctx, h.squad)
		r.mu.Lock()
		defer r.mu.Unlock()
		if ok {
			r.conclude(h, started)
		}
	})
}

// askDecision returns the decision. ok is false if ctx ended before it was known.
func (r *Reservations[M]) askDecision(ctx context.Context, squad broker.ID) (started, ok bool) {
	b, can := r.broker.(broker.Squads)
	if !can {
		return false, true
	}
	for try := 0; ctx.Err() == nil; try++ {
		once, cancel := context.WithTimeout(ctx, r.session.Timeout)
		started, err := b.Decide(once, squad, false)
		cancel()
		switch {
		case err == nil:
			r.minion.Asked(nil)
			return started, true
		case errors.Is(err, broker.ErrNotFound): // the squad ended long ago
			return false, true
		case errors.Is(err, broker.ErrClosed):
			return false, false
		case ctx.Err() == nil:
			r.minion.Asked(err)
		}
		backoff.Sleep(ctx, backoff.Delay(try, fastest, slowest))
	}
	return false, false
}

// answer sends a message to the arbiter of a reservation.
func (r *Reservations[M]) answer(h *reservation[M], kind Kind) {
	r.box.send(h.arbiter, Message{Kind: kind, Squad: h.squad, From: r.session.ID, Round: h.round, N: len(h.members)})
}

// release ends a reservation that the arbiter does not need any more, or whose time is
// over. If it has members, the squad may have started elsewhere, so the broker is asked.
func (r *Reservations[M]) release(h *reservation[M]) {
	switch {
	case h.done:
	case len(h.members) == 0:
		r.conclude(h, false)
	default:
		r.decide(h)
	}
}

// conclude starts the members of a reservation, or ends them as canceled. Only the first
// call has an effect.
func (r *Reservations[M]) conclude(h *reservation[M], started bool) {
	switch {
	case h.done:
		return
	case started:
		r.minion.Start(h.members, h.slots())
	default:
		r.minion.Cancel(h.members, h.slots())
	}
	r.close(h)
}

// close removes a reservation.
func (r *Reservations[M]) close(h *reservation[M]) {
	h.done = true
	if h.timer != nil {
		h.timer.Stop()
	}
	if r.reserved[h.squad] == h {
		delete(r.reserved, h.squad)
	}
	delete(r.strays, h)
}
