package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
)

// A request that could not reach the broker, or whose reply was lost, is
// repeated, with pauses, until patience is over or the caller's ctx is. Repeating
// is safe: a task is known by its id. One goroutine repeats what many callers have
// open, so that an outage sees one request at a time, and what waits for a queue
// that is away holds up nobody who sends to another. Who sends much repeats for
// itself.

// together is how much too early a parcel may be repeated, with others that are due.
const together = fastest / 2

// repeat lets parcels be sent again, but for those whose callers have left. What
// failed together stays together.
func (s *sender) repeat(parcels []*parcel) {
	if len(parcels) == 0 {
		return
	}
	now := time.Now()
	var delay time.Duration
	var last *parcel
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parcels {
		p.taken = false
		if p.left {
			close(p.done)
			continue
		}
		if last == nil || p.tries != last.tries {
			delay = backoff.Delay(p.tries-1, fastest, slowest/2)
		}
		last = p
		p.due = now.Add(delay)
		s.again = append(s.again, p)
		s.soonest(p.due)
	}
	if !s.busy && len(s.again) > 0 {
		s.busy = true
		s.wg.Add(1)
		go s.repeats()
	}
}

// soonest notes when one of again is due. s.mu is held.
func (s *sender) soonest(due time.Time) {
	if !s.due.IsZero() && !due.Before(s.due) {
		return
	}
	s.due = due
	select {
	case s.urge <- struct{}{}:
	default:
	}
}

// repeats sends what is open until nothing is.
func (s *sender) repeats() {
	defer s.wg.Done()
	for {
		batch, over, more := s.takeDue(s.rest())
		for _, p := range over { // their last errors stay
			close(p.done)
		}
		if !more {
			return
		}
		if len(batch) > 0 {
			s.requestOpen(s.ctx, batch)
			s.repeat(release(batch))
		}
	}
}

// rest waits until a parcel is due, or there is none. False says that there shall
// be no repetition any more.
func (s *sender) rest() bool {
	for {
		select {
		case <-s.closing:
			return false
		default:
		}
		s.mu.Lock()
		none, due := len(s.again) == 0, s.due
		s.mu.Unlock()
		if none {
			return true
		}
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
			return true
		case <-s.urge: // one is due earlier
		case <-s.closing:
		}
		timer.Stop()
	}
}

// takeDue takes what is due, as far as it fits in a request, and those whose
// patience was over before their last one. If there shall be no more requests all
// are over. More says that repeats goes on.
func (s *sender) takeDue(open bool) (batch, over []*parcel, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !open {
		over, s.again, s.busy = s.again, nil, false
		return nil, over, false
	}
	now := time.Now()
	tasks, bytes := 0, 0
	s.due = time.Time{}
	s.again = slices.DeleteFunc(s.again, func(p *parcel) bool {
		switch {
		case now.After(p.until.Add(slowest / 2)):
			over = append(over, p)
			return true
		case p.due.After(now.Add(together)),
			len(batch) > 0 && (tasks+len(p.open) > broker.MaxBatch || bytes+p.bytes > broker.MaxBatchBytes):
			s.soonest(p.due)
			return false
		}
		tasks += len(p.open)
		bytes += p.bytes
		p.taken, p.known, p.asked = true, slices.Clone(p.errs), p.open
		batch = append(batch, p)
		return true
	})
	s.busy = len(batch)+len(s.again) > 0
	return batch, over, s.busy
}

// requestOpen enqueues what is open of the parcels, and sets their errs.
func (s *sender) requestOpen(ctx context.Context, parcels []*parcel) {
	var tasks []*broker.Task
	var places []place
	for _, p := range parcels {
		for _, i := range p.open {
			tasks = append(tasks, p.tasks[i])
			places = append(places, place{p, i})
		}
	}
	note(ctx, places, s.enqueue(ctx, tasks))
}

// pause waits before a repetition; false says that there shall be none.
func (s *sender) pause(ctx context.Context, try int) bool {
	timer := time.NewTimer(backoff.Delay(try, fastest, slowest/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.closing:
	}
	return false
}

// place is a task in a parcel.
type place struct {
	parcel *parcel
	index  int
}

// note records the result of a request for the tasks at the places, and which of
// them are worth another one.
func note(ctx context.Context, places []place, err error) {
	var batch *broker.BatchError
	split := errors.As(err, &batch) && len(batch.Errs) == len(places)
	now := time.Now()
	var last *parcel
	for i, at := range places {
		p, e := at.parcel, err
		if split {
			e = batch.Errs[i]
		}
		if p != last { // its first
			p.open, p.tries, last = nil, p.tries+1, p
		}
		if e == nil {
			if p.errs != nil {
				p.errs[at.index] = nil
			}
			continue
		}
		if p.errs == nil {
			p.errs = make([]error, len(p.tasks))
		}
		if ctx.Err() != nil && errors.Is(e, ctx.Err()) && !errors.Is(e, broker.ErrIndeterminate) {
			e = fmt.Errorf("%w: %w", broker.ErrIndeterminate, e)
		}
		// An earlier request may have stored it, whatever became of this one,
		// unless the broker says that it can't be stored.
		old := p.errs[at.index]
		if !errors.Is(old, broker.ErrIndeterminate) || errors.Is(e, broker.ErrInvalid) || errors.Is(e, broker.ErrDuplicate) {
			p.errs[at.index] = e
		}
		if retryable(e) && now.Before(p.until) {
			p.open = append(p.open, at.index)
		}
	}
}
