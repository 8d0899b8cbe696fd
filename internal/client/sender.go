package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/backoff"
)

// sender stores parcels of tasks with as few requests as possible: a group
// commit. The first caller sends for itself, at once and on its own goroutine.
// Those who come while a request is under way gather, and the next request
// takes them all. No timer makes anybody wait, so a lone caller loses nothing
// and many share their round trips by themselves. Where many gather, a second
// request takes them while the first one is under way, so that the broker has
// something to do while callers do what they do between two submissions.
//
// A request that could not reach the broker, or whose reply was lost, is
// repeated, with pauses, until patience is over or the caller's ctx is. Repeating
// is safe: a task is known by its id.
type sender struct {
	enqueue func(context.Context, []*broker.Task) error
	ctx     context.Context // of requests that have several callers
	closing chan struct{}   // ends the repetitions

	mu     sync.Mutex
	closed bool
	lanes  int // requests under way and goroutines that empty the queue, without solos
	queue  []*parcel
	flying int            // parcels in the requests of drain
	wg     sync.WaitGroup // callers and goroutine
}

// parcel is a submission.
type parcel struct {
	tasks []*broker.Task
	errs  []error // nil, or one for each task
	until time.Time
	bytes int
	taken bool          // it is in a request
	done  chan struct{} // closed when errs is final; nil for who sends for itself
}

// soloTasks is the size from which on a submission is a request of its own,
// beside what others do: it needs no company.
const soloTasks = broker.MaxBatch / 4

// soloBytes is the same in bytes: while one large request is on its way, another
// one can be written.
const soloBytes = broker.MaxBatchBytes / 8

// A second request goes beside the first one when so many submissions wait, and
// only then; each takes half of them. With fewer, what requests cost is more than
// what the overlap brings.
const (
	crowd    = 32
	maxLanes = 2
)

// send stores the tasks and returns nil or an error for each. Now is about the time:
// reading it is a part of what a submission costs.
func (s *sender) send(ctx context.Context, tasks []*broker.Task, now time.Time) []error {
	p := &parcel{tasks: tasks, until: now.Add(patience)}
	for _, t := range tasks {
		p.bytes += t.Size()
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		p.failAll(broker.ErrClosed)
		return p.errs
	}
	s.wg.Add(1)
	defer s.wg.Done()
	solo := len(tasks) >= soloTasks || p.bytes >= soloBytes
	if solo || s.lanes == 0 {
		if !solo {
			s.lanes++
			defer s.next() // even if the broker panics
		}
		s.mu.Unlock()
		s.request(ctx, []*parcel{p})
		return p.errs
	}
	p.done = make(chan struct{})
	s.queue = append(s.queue, p)
	if len(s.queue) >= crowd && s.lanes < maxLanes {
		s.lanes++
		s.wg.Add(1)
		go s.drain()
	}
	s.mu.Unlock()

	select {
	case <-p.done:
		return p.errs
	case <-ctx.Done():
	}
	s.mu.Lock()
	taken := p.taken
	if !taken {
		s.queue = slices.DeleteFunc(s.queue, func(q *parcel) bool { return q == p })
	}
	s.mu.Unlock()
	// p belongs to the goroutine that sends it, which goes on for the others.
	left := &parcel{tasks: tasks}
	if taken {
		left.failAll(fmt.Errorf("%w: %w while it was sent", broker.ErrIndeterminate, ctx.Err()))
	} else {
		left.failAll(fmt.Errorf("not sent: %w", ctx.Err()))
	}
	return left.errs
}

// next lets a goroutine empty the queue, if there is something in it.
func (s *sender) next() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.lanes--
		return
	}
	s.wg.Add(1)
	go s.drain()
}

func (s *sender) drain() {
	defer s.wg.Done()
	for {
		s.mu.Lock()
		var batch []*parcel
		if s.lanes == 1 || len(s.queue) >= crowd { // else the other lane takes them
			batch = s.gather()
		}
		if len(batch) == 0 {
			s.lanes--
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.request(s.ctx, batch)
		s.mu.Lock()
		s.flying -= len(batch)
		s.mu.Unlock()
		for _, p := range batch {
			close(p.done)
		}
	}
}

// gather takes what fits in a request from the queue, and leaves the other lane its
// share. s.mu is held.
func (s *sender) gather() []*parcel {
	n, tasks, bytes := 0, 0, 0
	share := max(crowd, (s.flying+len(s.queue)+1)/maxLanes)
	for _, p := range s.queue[:min(share, len(s.queue))] {
		tasks += len(p.tasks)
		bytes += p.bytes
		if n > 0 && (tasks > broker.MaxBatch || bytes > broker.MaxBatchBytes) {
			break
		}
		p.taken = true
		n++
	}
	batch := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	s.flying += n
	return batch
}

// request enqueues the tasks of the parcels and sets their errs.
func (s *sender) request(ctx context.Context, parcels []*parcel) {
	tasks := parcels[0].tasks
	if len(parcels) > 1 {
		tasks = nil
		for _, p := range parcels {
			tasks = append(tasks, p.tasks...)
		}
	}
	err := s.enqueue(ctx, tasks)
	if err == nil {
		return
	}
	var open []place
	for _, p := range parcels {
		for i := range p.tasks {
			open = append(open, place{p, i})
		}
	}
	for try := 0; ; try++ {
		open = note(ctx, open, err)
		if len(open) == 0 || !s.pause(ctx, try) {
			return
		}
		tasks = make([]*broker.Task, len(open))
		for i, at := range open {
			tasks[i] = at.parcel.tasks[at.index]
		}
		err = s.enqueue(ctx, tasks)
	}
}

// place is a task in a parcel.
type place struct {
	parcel *parcel
	index  int
}

// note records the result of a request for the tasks at the places, and
// returns those that are worth another one.
func note(ctx context.Context, open []place, err error) (again []place) {
	var batch *broker.BatchError
	split := errors.As(err, &batch) && len(batch.Errs) == len(open)
	now := time.Now()
	for i, at := range open {
		p, e := at.parcel, err
		if split {
			e = batch.Errs[i]
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
			again = append(again, at)
		}
	}
	return again
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

// close refuses further parcels and returns when all others are done.
func (s *sender) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

func (p *parcel) failAll(err error) {
	p.errs = make([]error, len(p.tasks))
	for i := range p.errs {
		p.errs[i] = err
	}
}
