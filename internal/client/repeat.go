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

// Repetition of requests that could not reach the broker, or whose reply was lost. Repeating is
// safe, since the broker knows a task by its id. It goes on, with growing pauses, until the
// patience of the parcel or the caller's context ends.
//
// One goroutine (repeats) sends all parcels that wait for a repetition. So during an outage
// there is one request at a time, however many callers wait. It works beside the lanes of the
// sender: tasks of a queue that is unreachable hold up no tasks of other queues. A large
// submission repeats its requests on the caller's goroutine.

// together is how much before its time a parcel may be repeated, along with others that are
// due.
const together = fastest / 2

// repeat schedules parcels for another request, except those whose callers have left. Parcels
// that failed together get the same pause, so that they stay together.
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

// soonest notes that a parcel in again is due at a time, and wakes repeats if that is earlier
// than it knew. s.mu is held.
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

// repeats sends parcels again until none waits for it. It is the body of a goroutine.
func (s *sender) repeats() {
	defer s.wg.Done()
	for {
		batch, over, more := s.takeDue(s.rest())
		for _, p := range over { // the errors of their last requests stay
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

// rest waits until a parcel is due, or none is left. It returns false if the sender is closing,
// so that nothing may be sent any more.
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
		case <-s.urge: // another one is due earlier
		case <-s.closing:
		}
		timer.Stop()
	}
}

// takeDue takes the parcels for the next repetition: batch has the due parcels that fit into a
// request, and over the parcels that have no time left. If open is false, no request may follow
// and all parcels are over. more reports whether repeats goes on.
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

// requestOpen enqueues the open tasks of parcels, and updates errs, open and tries.
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

// pause waits before repetition number try. It returns false if ctx or the sender ended.
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

// place is the position of a task: the parcel that holds it, and the index there.
type place struct {
	parcel *parcel
	index  int
}

// note stores the result of a request in its parcels: err, or the parts of a
// [broker.BatchError]. Tasks that are worth another request become open.
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
		if p != last { // the first task of this parcel
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
		// If an earlier request was indeterminate, it may have stored the task. That stays the
		// result whatever happened to this request, unless the broker says that the task can't
		// be stored.
		old := p.errs[at.index]
		if !errors.Is(old, broker.ErrIndeterminate) || errors.Is(e, broker.ErrInvalid) || errors.Is(e, broker.ErrDuplicate) {
			p.errs[at.index] = e
		}
		if retryable(e) && now.Before(p.until) {
			p.open = append(p.open, at.index)
		}
	}
}
