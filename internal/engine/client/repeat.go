package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
)

// Repetition of requests that could not reach the broker, or whose reply was lost. Repeating is
// safe, since the broker knows a task by its id. It goes on, with growing pauses, until the time
// of the batch or the caller's context ends.
//
// One goroutine (repeats) sends all batches that wait for a repetition. So during an outage
// there is one request at a time, however many callers wait. It works beside the lanes of the
// sender: tasks of a queue that is unreachable hold up no tasks of other queues. A large batch
// is repeated on its caller's goroutine instead.

// together is how much before its time a batch may be repeated, along with others that are due.
const together = fastest / 2

// repeat schedules batches for another request, except those whose callers have left. Batches
// that failed together get the same pause, so that they stay together.
func (s *sender) repeat(batches []*batch) {
	if len(batches) == 0 {
		return
	}
	now := time.Now()
	var delay time.Duration
	var last *batch
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range batches {
		b.taken = false
		if b.left {
			close(b.over)
			continue
		}
		if last == nil || b.tries != last.tries {
			delay = backoff.Delay(b.tries-1, fastest, slowest/2)
		}
		last = b
		b.due = now.Add(delay)
		s.again = append(s.again, b)
		s.soonest(b.due)
	}
	if !s.busy && len(s.again) > 0 {
		s.busy = true
		s.wg.Add(1)
		go s.repeats()
	}
}

// soonest notes that a batch in again is due at a time, and wakes repeats if that is earlier
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

// repeats sends batches again until none waits for it. It is the body of a goroutine.
func (s *sender) repeats() {
	defer s.wg.Done()
	for {
		due, late, more := s.takeDue(s.rest())
		for _, b := range late { // the errors of their last requests stay
			close(b.over)
		}
		if !more {
			return
		}
		if len(due) > 0 {
			s.requestOpen(s.ctx, due)
			s.repeat(release(due))
		}
	}
}

// rest waits until a batch is due, or none is left. It returns false if the sender is closing,
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

// takeDue takes the batches for the next repetition: due has those whose time has come and that
// fit into a request, and late those whose time for repetitions is over. If goOn is false, no
// request may follow and all batches are late. more reports whether repeats goes on.
func (s *sender) takeDue(goOn bool) (due, late []*batch, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !goOn {
		late, s.again, s.busy = s.again, nil, false
		return nil, late, false
	}
	now := time.Now()
	tasks, bytes := 0, 0
	s.due = time.Time{}
	s.again = slices.DeleteFunc(s.again, func(b *batch) bool {
		switch {
		case now.After(b.until.Add(slowest / 2)): // a request before it has taken very long
			late = append(late, b)
			return true
		case b.due.After(now.Add(together)),
			len(due) > 0 && (tasks+len(b.open) > broker.MaxBatch || bytes+b.bytes > broker.MaxBatchBytes):
			s.soonest(b.due)
			return false
		}
		tasks += len(b.open)
		bytes += b.bytes
		b.taken, b.known, b.asked = true, slices.Clone(b.errs), b.open
		due = append(due, b)
		return true
	})
	s.busy = len(due)+len(s.again) > 0
	return due, late, s.busy
}

// requestOpen enqueues the open tasks of batches, and updates errs, open and tries.
func (s *sender) requestOpen(ctx context.Context, batches []*batch) {
	var tasks []*broker.Task
	var positions []position
	for _, b := range batches {
		for _, i := range b.open {
			tasks = append(tasks, b.tasks[i])
			positions = append(positions, position{b, i})
		}
	}
	note(ctx, positions, s.enqueue(ctx, tasks))
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

// position is the position of a task: the batch that holds it, and the index there.
type position struct {
	batch *batch
	index int
}

// note stores the result of a request in its batches: err, or the parts of a
// [broker.BatchError]. positions has the tasks of the request in order. Tasks that are worth
// another request become open.
func note(ctx context.Context, positions []position, err error) {
	var parts *broker.BatchError
	split := errors.As(err, &parts) && len(parts.Errs) == len(positions)
	now := time.Now()
	var last *batch
	for i, at := range positions {
		b, e := at.batch, err
		if split {
			e = parts.Errs[i]
		}
		if b != last { // the first task of this batch
			b.open, b.tries, last = nil, b.tries+1, b
		}
		if e == nil {
			if b.errs != nil {
				b.errs[at.index] = nil
			}
			continue
		}
		if b.errs == nil {
			b.errs = make([]error, len(b.tasks))
		}
		// The end of ctx during a request says nothing about the tasks in it.
		if ctx.Err() != nil && errors.Is(e, ctx.Err()) && !errors.Is(e, broker.ErrIndeterminate) {
			e = fmt.Errorf("%w: %w", broker.ErrIndeterminate, e)
		}
		// If an earlier request was indeterminate, it may have stored the task. That stays the
		// result whatever happened to this request, unless the broker says that the task can't
		// be stored.
		old := b.errs[at.index]
		if errors.Is(e, broker.ErrFull) {
			e = fullAfter(old, e)
			old = nil
		}
		if !errors.Is(old, broker.ErrIndeterminate) || errors.Is(e, broker.ErrInvalid) || errors.Is(e, broker.ErrDuplicate) {
			b.errs[at.index] = e
		}
		if retryable(e) && now.Before(b.until) {
			b.open = append(b.open, at.index)
		}
	}
}
