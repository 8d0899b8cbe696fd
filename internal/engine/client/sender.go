package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The sender stores batches of tasks with as few requests as possible. The technique is known
// from databases as group commit:
//
//   - If no request is under way, a caller sends its batch at once, on its own goroutine.
//   - Otherwise the caller puts its batch into a queue and waits. When the request ends, a
//     goroutine (drain) takes everything in the queue that fits into one request, sends it,
//     and wakes the callers.
//   - No timer delays anybody. A single caller pays nothing for this, and many callers share
//     round trips.
//   - A request under way occupies a lane. There is one lane. If many callers wait, a second
//     one opens, so that the broker has work while the callers prepare their next batches.
//   - A large batch needs no company: it is sent alone, outside the lanes.
//
// Tasks that could not be stored, because the broker was unreachable, are sent again. That is
// separate from the queue; see repeat.go.
//
// The sender knows nothing of calls, ids and waits. The owner of a batch learns by two
// functions, begin and done, that its first request is about to be sent and that it has ended.

// sender stores tasks for many callers at once.
type sender struct {
	enqueue func(context.Context, []*broker.Task) error
	ctx     context.Context // for requests that have several callers
	closing chan struct{}   // when it is closed, repetitions end
	shut    error           // the error of batches after close
	urge    chan struct{}   // wakes repeats because a batch is due earlier; has a buffer of one

	// begin is called with the batches of a request before the first request that holds them.
	begin func([]*batch)
	// done is called once for each of these batches, with the errors of its tasks, before its
	// caller gets them. It is called with several batches only if all their tasks were stored;
	// errs is nil then. Calls for batches of one request together let the client do its
	// bookkeeping under one lock.
	done func(errs []error, batches []*batch)

	mu     sync.Mutex
	closed bool
	lanes  int            // requests under way plus goroutines that drain the queue; large batches do not count
	queue  []*batch       // waits for a lane
	flying int            // batches in the requests of drain
	again  []*batch       // waits for a repetition
	due    time.Time      // when the first batch in again is to be repeated
	busy   bool           // the goroutine repeats runs
	wg     sync.WaitGroup // counts callers and goroutines, for close
}

// newSender returns a sender that stores tasks by enqueue.
func newSender(ctx context.Context, closing chan struct{}, shut error, enqueue func(context.Context, []*broker.Task) error) *sender {
	return &sender{
		enqueue: enqueue, ctx: ctx, closing: closing, shut: shut, urge: make(chan struct{}, 1),
		begin: func([]*batch) {}, done: func([]error, []*batch) {},
	}
}

// The way of a batch through the sender. Each request leads to one of the two lines at the end.
//
//	enter ──▶ lane is free ────────▶ sendLone ───┐
//	      ──▶ it is large ─────────▶ sendLarge ──┤ repeats by itself
//	      ──▶ queue ──takeQueued──▶ drain ───────┤
//	                                             ▼
//	                    all tasks have a result: the caller gets errs
//	                    some tasks are open:     again ──takeDue──▶ repeats, and so on
//
// The caller may leave at any time because its context ends. A batch in queue or again is taken
// out then. A batch in a request stays there, and its caller learns that the fate of the tasks
// is unknown.

// batch is a list of tasks that enter a request together. The caller sets the first fields, and
// the sender the others. They are guarded by sender.mu, except while taken is set: then the
// goroutine that sends the batch owns errs, open and tries.
type batch struct {
	tasks []*broker.Task
	until time.Time // no repetition is planned after it
	book  *book     // bookkeeping of the client, which the sender does not look at; may be nil

	one     [1]*batch     // the batch itself, as a list that needs no memory
	bytes   int           // of all tasks
	errs    []error       // one for each task; nil if no task has failed
	taken   bool          // a request holds it now
	started bool          // begin was called with it
	ended   bool          // done was called with it
	left    bool          // the caller has stopped waiting during a request
	begun   chan struct{} // closed after begin; nil if it was never in the queue
	over    chan struct{} // closed when errs is final; nil while the caller sends by itself

	open  []int     // positions of the tasks that are worth another request
	tries int       // requests that failed for at least one of the tasks
	due   time.Time // of the next repetition
	known []error   // the value of errs before the repetition under way
	asked []int     // the value of open before the repetition under way
}

// soloTasks is the number of tasks from which on a batch is sent in a request of its own, beside
// the lanes: it is large enough to be efficient alone.
const soloTasks = broker.MaxBatch / 4

// soloBytes is the same limit in bytes. While one large request is on the wire, another one can
// be written.
const soloBytes = broker.MaxBatchBytes / 8

const (
	// A second lane opens when this many batches wait in the queue. Each lane then takes about
	// half of them. With fewer, the cost of one more request exceeds the gain of overlapping
	// two.
	crowd    = 32
	maxLanes = 2
)

// send stores tasks for which no bookkeeping is needed. now is about the current time: reading
// the clock would be a measurable part of the cost of a submission.
func (s *sender) send(ctx context.Context, tasks []*broker.Task, now time.Time) []error {
	return s.store(ctx, &batch{tasks: tasks, until: now.Add(patience)})
}

// store stores the tasks of a batch. It returns nil, or one error for each task. An error wraps
// ErrIndeterminate if the task may be stored all the same. If ctx ends first, the request goes
// on, unless it is for this batch alone.
func (s *sender) store(ctx context.Context, b *batch) (errs []error) {
	b.one[0] = b
	for _, t := range b.tasks {
		b.bytes += t.Size()
	}
	large := len(b.tasks) >= soloTasks || b.bytes >= soloBytes
	alone, ok := s.enter(b, large)
	if !ok {
		return b.failed(s.shut)
	}
	defer s.wg.Done()
	defer func() {
		// If the broker has panicked, errs is nil, and nobody knows what is stored.
		if b.started && !b.ended {
			s.done(errs, b.one[:])
		}
	}()
	switch {
	case large:
		return s.sendLarge(ctx, b)
	case alone:
		s.sendLone(ctx, b)
		if len(b.open) == 0 || ctx.Err() != nil {
			return b.errs
		}
		b.over = make(chan struct{})
		s.repeat(b.one[:])
	}
	return s.wait(ctx, b)
}

// enter admits a batch, unless the sender is closed. A batch that is not large occupies a free
// lane, and alone is true then, or enters the queue, for which it may open the second lane.
func (s *sender) enter(b *batch, large bool) (alone, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, false
	}
	s.wg.Add(1)
	switch {
	case large:
		return true, true
	case s.lanes == 0:
		s.lanes++
		return true, true
	}
	b.over = make(chan struct{})
	s.queue = append(s.queue, b)
	if len(s.queue) >= crowd && s.lanes < maxLanes {
		s.lanes++
		s.wg.Add(1)
		go s.drain()
	}
	return false, true
}

// sendLarge sends a batch on the goroutine of its caller, outside the lanes, and repeats the
// request there.
func (s *sender) sendLarge(ctx context.Context, b *batch) []error {
	s.start(b.one[:])
	s.request(ctx, b.one[:])
	for len(b.open) > 0 && s.pause(ctx, b.tries-1) {
		s.requestOpen(ctx, b.one[:])
	}
	return b.errs
}

// sendLone sends a batch on the goroutine of its caller, which occupies the lane, and hands the
// lane on afterwards.
func (s *sender) sendLone(ctx context.Context, b *batch) {
	defer s.next() // also if the broker panics
	s.start(b.one[:])
	s.request(ctx, b.one[:])
}

// start prepares batches for their first request.
func (s *sender) start(batches []*batch) {
	s.begin(batches)
	for _, b := range batches {
		b.started = true
	}
}

// wait returns the errors of a batch that another goroutine sends. If ctx ends first, it returns
// the errors that are known by then.
func (s *sender) wait(ctx context.Context, b *batch) []error {
	select {
	case <-b.over:
		return b.errs
	case <-ctx.Done():
	}
	errs, soon := s.leave(b, ctx.Err())
	if soon != nil {
		<-soon
	}
	if soon == b.over {
		return b.errs
	}
	return errs
}

// leave withdraws a batch whose caller stops waiting for the reason why, and returns its errors.
// They are valid once soon is closed, if it is not nil; that happens at once. If soon is b.over,
// the batch has ended, and its own errors count.
func (s *sender) leave(b *batch, why error) (errs []error, soon <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.ended {
		return nil, b.over
	}
	select {
	case <-b.over: // it has ended meanwhile
		return nil, b.over
	default:
	}
	same := func(other *batch) bool { return other == b }
	switch {
	case b.taken: // the request goes on, because it has other callers too
		b.left = true
		return b.unknown(fmt.Errorf("%w: %w while it was sent", broker.ErrIndeterminate, why)), b.begun
	case b.tries > 0: // the errors of the last request are the result
		s.again = slices.DeleteFunc(s.again, same)
		return b.errs, nil
	}
	s.queue = slices.DeleteFunc(s.queue, same)
	return b.failed(fmt.Errorf("not sent: %w", why)), nil
}

// unknown returns the errors of a batch that is in a request: err for the tasks in that request,
// because their fate is unknown, and for the others their known result.
func (b *batch) unknown(err error) []error {
	if b.known == nil { // this is the first request with it
		return b.failed(err)
	}
	errs := slices.Clone(b.known)
	for _, i := range b.asked {
		errs[i] = err
	}
	return errs
}

// next hands the caller's lane to a draining goroutine if the queue has batches. Otherwise it
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

// drain occupies a lane and sends the batches in the queue until it is empty, or has too few for
// two lanes.
func (s *sender) drain() {
	defer s.wg.Done()
	for {
		batches := s.takeQueued()
		if len(batches) == 0 {
			return
		}
		s.start(batches)
		close(batches[0].begun) // all of them share it
		s.request(s.ctx, batches)
		if stored := s.landed(batches); len(stored) > 0 {
			s.done(nil, stored)
		}
		s.repeat(release(batches))
	}
}

// takeQueued takes batches from the queue for the next request of a lane. If there is nothing
// for the lane to send, it gives up the lane and returns none.
func (s *sender) takeQueued() (batches []*batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes == 1 || len(s.queue) >= crowd { // otherwise the other lane takes the rest
		batches = s.gather()
	}
	if len(batches) == 0 {
		s.lanes--
	}
	return batches
}

// landed notes that a request of drain has ended. It returns the batches that were stored and
// whose callers still wait. After it, these callers do not leave any more.
func (s *sender) landed(batches []*batch) (stored []*batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying -= len(batches)
	stored = make([]*batch, 0, len(batches))
	for _, b := range batches {
		if b.errs == nil && !b.left { // otherwise its caller calls done
			b.ended = true
			stored = append(stored, b)
		}
	}
	return stored
}

// release wakes the callers of the batches that have ended, and returns the batches that have
// tasks worth another request. A batch that has ended belongs to its caller afterwards.
func release(batches []*batch) (open []*batch) {
	for _, b := range batches {
		if len(b.open) > 0 {
			open = append(open, b)
		} else {
			close(b.over)
		}
	}
	return open
}

// gather takes batches from the queue for one request, in order, up to the limits of a request.
// If two lanes run it leaves the other one its share. s.mu is held.
func (s *sender) gather() []*batch {
	if len(s.queue) == 0 {
		return nil
	}
	n, tasks, bytes := 0, 0, 0
	share := max(crowd, (s.flying+len(s.queue)+1)/maxLanes)
	begun := make(chan struct{})
	for _, b := range s.queue[:min(share, len(s.queue))] {
		tasks += len(b.tasks)
		bytes += b.bytes
		if n > 0 && (tasks > broker.MaxBatch || bytes > broker.MaxBatchBytes) {
			break
		}
		b.taken, b.begun = true, begun
		n++
	}
	batches := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	s.flying += n
	return batches
}

// request enqueues all tasks of batches, in their first request. If any fails, it sets errs,
// open and tries of the batches.
func (s *sender) request(ctx context.Context, batches []*batch) {
	tasks := batches[0].tasks
	if len(batches) > 1 {
		tasks = nil
		for _, b := range batches {
			tasks = append(tasks, b.tasks...)
		}
	}
	err := s.enqueue(ctx, tasks)
	if err == nil {
		return
	}
	positions := make([]position, 0, len(tasks))
	for _, b := range batches {
		for i := range b.tasks {
			positions = append(positions, position{b, i})
		}
	}
	note(ctx, positions, err)
}

// close makes store fail, and returns when all calls of store and all goroutines have ended.
func (s *sender) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

// failed returns a list with err for each task.
func (b *batch) failed(err error) []error {
	errs := make([]error, len(b.tasks))
	for i := range errs {
		errs[i] = err
	}
	return errs
}
