package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
)

// A request that could not reach the broker, or whose reply was lost, is
// repeated, with pauses, until patience is over or the caller's ctx is. Repeating
// is safe: a task is known by its id. One goroutine repeats all that is open, so
// that an outage sees one request at a time, and what waits for a queue that is
// away holds up nobody who sends to another.

// repeat lets parcels be sent again.
func (s *sender) repeat(parcels []*parcel) {
	if len(parcels) == 0 {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parcels {
		p.taken = false
		p.due = now.Add(backoff.Delay(p.tries-1, fastest, slowest/2))
	}
	s.again = append(s.again, parcels...)
	if !s.busy {
		s.busy = true
		s.wg.Add(1)
		go s.repeats()
		return
	}
	select {
	case s.urge <- struct{}{}:
	default:
	}
}

// repeats sends what is open until nothing is.
func (s *sender) repeats() {
	defer s.wg.Done()
	for {
		more := s.rest()
		batch := s.gatherAgain(more)
		if len(batch) == 0 {
			return
		}
		if !more { // their last errors stay
			for _, p := range batch {
				close(p.done)
			}
			continue
		}
		var tasks []*broker.Task
		var places []place
		for _, p := range batch {
			for _, i := range p.open {
				tasks = append(tasks, p.tasks[i])
				places = append(places, place{p, i})
			}
		}
		note(s.ctx, places, s.enqueue(s.ctx, tasks))
		s.repeat(release(batch))
	}
}

// rest waits until a parcel is due, or there is none. False says that there shall
// be no repetition any more.
func (s *sender) rest() bool {
	for {
		s.mu.Lock()
		var first *parcel
		for _, p := range s.again {
			if first == nil || p.due.Before(first.due) {
				first = p
			}
		}
		if first == nil {
			s.mu.Unlock()
			return true
		}
		timer := time.NewTimer(time.Until(first.due))
		s.mu.Unlock()
		select {
		case <-timer.C:
			return true
		case <-s.urge: // perhaps one is due earlier
			timer.Stop()
		case <-s.closing:
			timer.Stop()
			return false
		}
	}
}

// gatherAgain takes what fits in a request of what waits for a repetition, due or
// not: none says that repeats is over. If there shall be no more requests it takes
// all.
func (s *sender) gatherAgain(more bool) []*parcel {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, tasks, bytes := 0, 0, 0
	for _, p := range s.again {
		tasks += len(p.open)
		bytes += p.bytes
		if more && n > 0 && (tasks > broker.MaxBatch || bytes > broker.MaxBatchBytes) {
			break
		}
		p.taken = more
		n++
	}
	batch := s.again[:n:n]
	s.again = s.again[n:]
	s.busy = n > 0
	return batch
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
