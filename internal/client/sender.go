package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// sender stores parcels of tasks with as few requests as possible: a group
// commit. The first caller sends for itself, at once and on its own goroutine.
// Those who come while a request is under way gather, and the next request
// takes them all. No timer makes anybody wait, so a lone caller loses nothing
// and many share their round trips by themselves. Where many gather, a second
// request takes them while the first one is under way, so that the broker has
// something to do while callers do what they do between two submissions.
//
// What could not be stored is repeated apart from all this: see repeats.
type sender struct {
	enqueue func(context.Context, []*broker.Task) error
	ctx     context.Context // of requests that have several callers
	closing chan struct{}   // ends the repetitions
	shut    error           // of what is sent once it is closed
	urge    chan struct{}   // tells repeats that there is more; has room for one

	begin func([]*parcel) // is told of parcels before the first request with them,
	end   func([]*parcel) // and of those that were stored before their callers are, if these are there

	mu     sync.Mutex
	closed bool
	lanes  int // requests under way and goroutines that empty the queue, without solos
	queue  []*parcel
	flying int            // parcels in the requests of drain
	again  []*parcel      // wait for a repetition
	due    time.Time      // of the first of them
	busy   bool           // repeats runs
	wg     sync.WaitGroup // callers and goroutines
}

func newSender(ctx context.Context, closing chan struct{}, shut error, enqueue func(context.Context, []*broker.Task) error) *sender {
	nothing := func([]*parcel) {}
	return &sender{enqueue: enqueue, ctx: ctx, closing: closing, shut: shut, urge: make(chan struct{}, 1), begin: nothing, end: nothing}
}

// parcel is a submission.
type parcel struct {
	tasks []*broker.Task
	of    *submission // nil if they are of a flow
	errs  []error     // nil, or one for each task
	until time.Time
	bytes int
	taken bool          // it is in a request
	begun chan struct{} // closed when begin was told of it, after it was taken
	left  bool          // nobody waits any more for the request that it is in
	ended bool          // end is told of it
	done  chan struct{} // closed when errs is final; nil for who sends for itself

	open  []int     // the tasks that are worth another request
	tries int       // how many have failed, for some of them at least
	due   time.Time // of the next
	known []error   // errs before the one that is under way,
	asked []int     // and open
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
	return s.sendParcel(ctx, &parcel{tasks: tasks, until: now.Add(patience)})
}

func (s *sender) sendParcel(ctx context.Context, p *parcel) []error {
	for _, t := range p.tasks {
		p.bytes += t.Size()
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return p.failed(s.shut)
	}
	s.wg.Add(1)
	defer s.wg.Done()
	solo := len(p.tasks) >= soloTasks || p.bytes >= soloBytes
	if solo || s.lanes == 0 {
		if !solo {
			s.lanes++
		}
		s.mu.Unlock()
		s.alone(ctx, p, !solo)
		for solo && len(p.open) > 0 && s.pause(ctx, p.tries-1) {
			s.requestOpen(ctx, []*parcel{p})
		}
		if solo || len(p.open) == 0 || ctx.Err() != nil {
			return p.errs
		}
		p.done = make(chan struct{})
		s.repeat([]*parcel{p})
		return s.wait(ctx, p)
	}
	p.done = make(chan struct{})
	s.queue = append(s.queue, p)
	if len(s.queue) >= crowd && s.lanes < maxLanes {
		s.lanes++
		s.wg.Add(1)
		go s.drain()
	}
	s.mu.Unlock()
	return s.wait(ctx, p)
}

// alone stores a parcel on its caller's goroutine, in a lane or beside all.
func (s *sender) alone(ctx context.Context, p *parcel, lane bool) {
	if lane {
		defer s.next() // even if the broker panics
	}
	parcels := []*parcel{p}
	s.begin(parcels)
	s.request(ctx, parcels)
}

// wait waits until others have sent a parcel, or ctx ends, and returns its errors.
func (s *sender) wait(ctx context.Context, p *parcel) []error {
	select {
	case <-p.done:
		return p.errs
	case <-ctx.Done():
	}
	soon, errs := s.leave(p, ctx.Err())
	if soon != nil {
		<-soon
	}
	if soon == p.done {
		return p.errs
	}
	return errs
}

// leave takes the caller from a parcel, for a reason, and returns its errors. They hold
// as soon as a channel is closed, which is at once; if that is done there are others.
func (s *sender) leave(p *parcel, why error) (soon <-chan struct{}, errs []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ended {
		return p.done, nil
	}
	select {
	case <-p.done: // meanwhile
		return p.done, nil
	default:
	}
	same := func(q *parcel) bool { return q == p }
	switch {
	case p.taken: // it belongs to the goroutine that sends it, which goes on for the others
		p.left = true
		return p.begun, p.unknown(fmt.Errorf("%w: %w while it was sent", broker.ErrIndeterminate, why))
	case p.tries > 0: // the last errors say it
		s.again = slices.DeleteFunc(s.again, same)
		return nil, p.errs
	}
	s.queue = slices.DeleteFunc(s.queue, same)
	return nil, p.failed(fmt.Errorf("not sent: %w", why))
}

// unknown returns the errors of a parcel that is in a request: err for what is in
// it, which nobody knows yet.
func (p *parcel) unknown(err error) []error {
	if p.known == nil { // it is the first
		return p.failed(err)
	}
	errs := slices.Clone(p.known)
	for _, i := range p.asked {
		errs[i] = err
	}
	return errs
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
		s.begin(batch)
		close(batch[0].begun)
		s.request(s.ctx, batch)
		if stored := s.landed(batch); len(stored) > 0 {
			s.end(stored)
		}
		s.repeat(release(batch))
	}
}

// landed notes that a request is over, and returns the parcels that it has stored and
// whose callers are there.
func (s *sender) landed(batch []*parcel) (stored []*parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying -= len(batch)
	stored = make([]*parcel, 0, len(batch))
	for _, p := range batch {
		if p.errs == nil && !p.left { // else its caller has gone on, or will
			p.ended = true
			stored = append(stored, p)
		}
	}
	return stored
}

// release tells the callers of those parcels that are done with, and returns the
// others.
func release(parcels []*parcel) (open []*parcel) {
	for _, p := range parcels {
		if len(p.open) > 0 {
			open = append(open, p)
		} else {
			close(p.done)
		}
	}
	return open
}

// gather takes what fits in a request from the queue, and leaves the other lane its
// share. s.mu is held.
func (s *sender) gather() []*parcel {
	if len(s.queue) == 0 {
		return nil
	}
	n, tasks, bytes := 0, 0, 0
	share := max(crowd, (s.flying+len(s.queue)+1)/maxLanes)
	begun := make(chan struct{})
	for _, p := range s.queue[:min(share, len(s.queue))] {
		tasks += len(p.tasks)
		bytes += p.bytes
		if n > 0 && (tasks > broker.MaxBatch || bytes > broker.MaxBatchBytes) {
			break
		}
		p.taken, p.begun = true, begun
		n++
	}
	batch := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	s.flying += n
	return batch
}

// request enqueues the tasks of the parcels and sets their errs, and what is open.
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
	var places []place
	for _, p := range parcels {
		for i := range p.tasks {
			places = append(places, place{p, i})
		}
	}
	note(ctx, places, err)
}

// close refuses further parcels and returns when all others are done.
func (s *sender) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

// failed returns err for each task.
func (p *parcel) failed(err error) []error {
	errs := make([]error, len(p.tasks))
	for i := range errs {
		errs[i] = err
	}
	return errs
}
