package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The sender stores submissions with as few requests as possible. The technique is known from
// databases as group commit:
//
//   - If no request is under way, a caller sends its tasks at once, on its own goroutine.
//   - Otherwise the caller puts its tasks into a queue and waits. When the request ends, a
//     goroutine (drain) takes everything in the queue that fits into one request, sends it,
//     and wakes the callers.
//   - No timer delays anybody. A single caller pays nothing for this, and many callers share
//     round trips.
//   - A request under way occupies a lane. There is one lane. If many callers wait, a second
//     one opens, so that the broker has work while the callers prepare their next submissions.
//   - A large submission needs no company: it is sent alone, outside the lanes.
//
// Tasks that could not be stored, because the broker was unreachable, are sent again. That is
// separate from the queue; see repeat.go.

// sender stores tasks for many callers at once.
type sender struct {
	enqueue func(context.Context, []*broker.Task) error
	ctx     context.Context // for requests that have several callers
	closing chan struct{} // when it is closed, repetitions end
	shut    error // the error of submissions after close
	urge    chan struct{} // wakes repeats because a parcel is due earlier; has a buffer of one

	// begin is called with the parcels of a request before the first request that holds them.
	// end is called with the parcels of a request that were stored and whose callers still
	// wait, before these wake up. Both let the client do its bookkeeping for many parcels under
	// one lock.
	begin func([]*parcel)
	end   func([]*parcel)

	mu     sync.Mutex
	closed bool
	// lanes counts requests under way and goroutines that drain the queue. Large submissions do
	// not count.
	lanes  int
	queue  []*parcel // waits for a lane
	flying int // parcels in the requests of drain
	again  []*parcel // waits for a repetition
	due    time.Time // when the first parcel in again is to be repeated
	busy   bool // the goroutine repeats runs
	wg     sync.WaitGroup // counts callers and goroutines, for close
}

// newSender returns a sender that stores tasks by enqueue.
func newSender(ctx context.Context, closing chan struct{}, shut error, enqueue func(context.Context, []*broker.Task) error) *sender {
	nothing := func([]*parcel) {}
	return &sender{enqueue: enqueue, ctx: ctx, closing: closing, shut: shut, urge: make(chan struct{}, 1), begin: nothing, end: nothing}
}

// parcel is the part of a submission that the sender handles: tasks that enter a request
// together. A parcel is guarded by sender.mu while it waits, and belongs to the goroutine that
// sends it while taken is set.
type parcel struct {
	tasks []*broker.Task
	of    *submission // nil if the tasks belong to a flow
	errs  []error // one for each task; nil if no task has failed
	until time.Time // no repetition is planned after it
	bytes int // of all tasks
	taken bool // a request holds it now
	begun chan struct{} // closed after begin was called; set when the parcel is taken from the queue
	left  bool // the caller has stopped waiting during a request
	ended bool // end was called with it
	done  chan struct{} // closed when errs is final; nil while the caller sends by itself

	open  []int // positions of the tasks that are worth another request
	tries int // requests that failed for at least one of the tasks
	due   time.Time // of the next repetition
	known []error // the value of errs before the repetition under way
	asked []int // the value of open before the repetition under way
}

// soloTasks is the number of tasks from which on a submission is sent in a request of its own,
// beside the lanes: it is large enough to be efficient alone.
const soloTasks = broker.MaxBatch / 4

// soloBytes is the same limit in bytes. While one large request is on the wire, another one can
// be written.
const soloBytes = broker.MaxBatchBytes / 8

const (
	// A second lane opens when this many submissions wait in the queue. Each lane then takes
	// about half of them. With fewer, the cost of one more request exceeds the gain of
	// overlapping two.
	crowd    = 32
	maxLanes = 2
)

// send stores tasks and returns nil, or one error for each task. now is about the current time:
// reading the clock would be a measurable part of the cost of a submission.
func (s *sender) send(ctx context.Context, tasks []*broker.Task, now time.Time) []error {
	return s.sendParcel(ctx, &parcel{tasks: tasks, until: now.Add(patience)})
}

// sendParcel stores the tasks of a parcel and returns nil, or one error for each task. A lone
// or large parcel is sent on the caller's goroutine; otherwise the parcel enters the queue and
// a draining goroutine sends it.
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

// alone sends a parcel on the goroutine of its caller. If lane is true it occupies a lane.
func (s *sender) alone(ctx context.Context, p *parcel, lane bool) {
	if lane {
		defer s.next() // also if the broker panics
	}
	parcels := []*parcel{p}
	s.begin(parcels)
	s.request(ctx, parcels)
}

// wait returns the errors of a parcel that another goroutine sends. If ctx ends first, it
// returns the errors that are known by then.
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

// leave withdraws a parcel whose caller stops waiting for the reason why, and returns the
// parcel's errors. They are valid once soon is closed, if it is not nil; that happens at once.
// If soon is the parcel's done channel, the parcel is finished and its own errors count.
func (s *sender) leave(p *parcel, why error) (soon <-chan struct{}, errs []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ended {
		return p.done, nil
	}
	select {
	case <-p.done: // it was finished meanwhile
		return p.done, nil
	default:
	}
	same := func(q *parcel) bool { return q == p }
	switch {
	case p.taken: // the goroutine that sends it goes on, because the request has other callers too
		p.left = true
		return p.begun, p.unknown(fmt.Errorf("%w: %w while it was sent", broker.ErrIndeterminate, why))
	case p.tries > 0: // the errors of the last request are the result
		s.again = slices.DeleteFunc(s.again, same)
		return nil, p.errs
	}
	s.queue = slices.DeleteFunc(s.queue, same)
	return nil, p.failed(fmt.Errorf("not sent: %w", why))
}

// unknown returns the errors of a parcel that is in a request: err for the tasks in that
// request, because their fate is unknown, and for the others their known result.
func (p *parcel) unknown(err error) []error {
	if p.known == nil { // this is the first request with it
		return p.failed(err)
	}
	errs := slices.Clone(p.known)
	for _, i := range p.asked {
		errs[i] = err
	}
	return errs
}

// next hands the caller's lane to a draining goroutine if the queue has parcels. Otherwise it
// gives up the lane.
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

// drain sends the parcels in the queue until it is empty, or has too few for two lanes.
func (s *sender) drain() {
	defer s.wg.Done()
	for {
		s.mu.Lock()
		var batch []*parcel
		if s.lanes == 1 || len(s.queue) >= crowd { // otherwise the other lane takes the rest
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

// landed notes that a request of drain has ended. It returns the parcels that were stored and
// whose callers still wait. After it, these callers do not leave any more.
func (s *sender) landed(batch []*parcel) (stored []*parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying -= len(batch)
	stored = make([]*parcel, 0, len(batch))
	for _, p := range batch {
		if p.errs == nil && !p.left { // otherwise the caller does the bookkeeping itself
			p.ended = true
			stored = append(stored, p)
		}
	}
	return stored
}

// release wakes the callers of the parcels that are finished, and returns the parcels that have
// tasks worth another request.
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

// gather takes parcels from the queue for one request, in order, up to the limits of a request.
// If two lanes run it leaves the other one its share. s.mu is held.
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

// request enqueues all tasks of the parcels. It sets errs, open and tries of each.
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

// close makes send fail, and returns when all calls of send and all goroutines have ended.
func (s *sender) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

// failed returns a list with err for each task.
func (p *parcel) failed(err error) []error {
	errs := make([]error, len(p.tasks))
	for i := range errs {
		errs[i] = err
	}
	return errs
}
