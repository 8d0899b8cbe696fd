package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/slab"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// This file turns a Submit into a request. A submission passes these stages:
//
//  1. Pipes and groups among the calls are sent, each with several requests of its own
//     (sendFlows).
//  2. The other calls become task records (prepare).
//  3. Children that failed for good in an earlier attempt are requeued (requeueChildren).
//  4. The sender stores the records as one batch, perhaps together with those of other
//     goroutines (send).
//
// Each call has an error of its own, so one bad call does not stop the others. The submission
// knows its batch, and the batch its bookkeeping (book.go), but not the other way round.

// submission is one Submit under way. calls has the calls of the user; records has the tasks
// that are sent together, without pipes, groups and invalid calls.
type submission struct {
	calls   []task.Bound
	errs    []error       // one for each call; nil if no call has failed
	flows   map[int]error // the results of the calls that are pipes or groups, by position in calls
	records *records
	index   []int // index[i] is the position in calls of task i; nil if the positions are equal
	batch   batch // the tasks of records, as the sender sees them
}

// records is the memory of the task records of one submission. The broker does not keep the
// records after Enqueue returns, so the memory is pooled.
type records struct {
	all   []broker.Task
	tasks []*broker.Task // pointers into all: the records that are sent
	book  book
}

var spareRecords = sync.Pool{New: func() any { return new(records) }}

// newRecords returns memory for up to n records.
func newRecords(n int) *records {
	r := spareRecords.Get().(*records)
	if cap(r.all) < n {
		r.all = make([]broker.Task, 0, n)
	}
	return r
}

// next returns the next unused record. It does not allocate.
func (r *records) next() *broker.Task {
	r.all = r.all[:len(r.all)+1]
	return &r.all[len(r.all)-1]
}

// free returns the memory to the pool. No request may still be reading it.
func (r *records) free() {
	if cap(r.all) > broker.MaxBatch { // a rare large submission must not occupy memory for ever
		return
	}
	clear(r.all)
	clear(r.tasks)
	clear(r.book.requests)
	clear(r.book.entries)
	r.all, r.tasks = r.all[:0], r.tasks[:0]
	r.book = book{requests: r.book.requests[:0], entries: r.book.entries[:0]}
	spareRecords.Put(r)
}

// submit sends calls. from is the running task that sends them, or nil. The error is a
// [*task.SubmitError] with the errors of the calls that failed.
func (c *Client) submit(ctx context.Context, from *Child, calls []task.Bound) error {
	err := c.submitOnce(ctx, from, calls)
	if err == nil {
		return nil
	}
	return c.waitForRoom(ctx, from, calls, err)
}

// submitOnce is submit without waits for room in a queue.
func (c *Client) submitOnce(ctx context.Context, from *Child, calls []task.Bound) error {
	if len(calls) == 0 {
		return nil
	}
	s := &submission{calls: calls}
	if err := c.enter(ctx); err != nil {
		for i := range calls {
			s.fail(i, err)
		}
		return s.err()
	}
	defer c.sending.Done()
	now := time.Now()
	s.sendFlows(ctx, c, from)
	if s.flows != nil { // sending them may have taken long
		now = time.Now()
	}
	s.prepare(c, from, now)
	if len(s.records.tasks) > 0 && s.requeueChildren(ctx, c, from) {
		s.send(ctx, c)
	}
	return s.err()
}

// enter begins a submission. The caller calls c.sending.Done when the submission has ended;
// Close waits for that. If enter returns an error, nothing has begun and nothing can be sent.
func (c *Client) enter(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.shut
	}
	c.sending.Add(1)
	c.mu.Unlock()
	err := c.ready(ctx)
	if err != nil {
		c.sending.Done()
	}
	return err
}

// ready opens the inbox if necessary. It returns the reason if nothing can be sent.
func (c *Client) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not sent: %w", err)
	}
	switch err := c.openInbox(ctx); {
	case errors.Is(err, broker.ErrIndeterminate): // it is unknown whether there is an inbox; but no task was sent
		return fmt.Errorf("not sent: inbox: %w: %s", broker.ErrUnavailable, err.Error())
	case err != nil:
		return fmt.Errorf("not sent: inbox: %w", err)
	}
	return nil
}

// prepare makes the records of all calls that are not pipes or groups. A call whose record is
// invalid gets its error and is left out.
func (s *submission) prepare(c *Client, from *Child, now time.Time) {
	r := newRecords(len(s.calls))
	r.book.from, r.book.now = from, now
	s.records = r
	payloads := slab.Bytes{Left: len(s.calls)}
	var newID func(*broker.Task) broker.ID
	if len(s.calls) > 1 {
		newID = new(siblings).newID
	}
	for i, call := range s.calls {
		t := r.next()
		again := false
		req := requestOf(call)
		err, sent := s.flowErr(i)
		if !sent {
			if req.Spreads() {
				request.Spread(s.calls)
			}
			again, err = c.prepare(t, req, from, now, payloads.Room(), newID)
			payloads.Keep(t.Payload)
		}
		if err != nil || sent {
			s.leaveOut(i, err)
			continue
		}
		t.Inbox = c.inbox.id
		r.tasks = append(r.tasks, t)
		r.book.requests = append(r.book.requests, req)
		if s.index != nil {
			s.index = append(s.index, i)
		}
		if again {
			r.book.repeats(len(r.tasks)-1, len(s.calls))
		}
	}
}

// leaveOut sets the error of calls[i], which may be nil, and takes note that no task is sent for
// it: from now on the positions of tasks and calls differ.
func (s *submission) leaveOut(i int, err error) {
	if s.index == nil {
		s.index = make([]int, len(s.records.tasks), len(s.calls))
		for k := range s.index {
			s.index[k] = k
		}
	}
	s.fail(i, err)
}

// prepare fills in t, the record of a request, and reports whether the request may have been
// sent before. A request of an arbiter that has no id yet usually gets it later, in
// [Client.beginBatches], so that tasks which share a request have consecutive ids. A codec that
// seals needs the id now, because the seal includes it; then newID makes the id. The payload is
// encoded into room if it fits there.
func (c *Client) prepare(t *broker.Task, req *request.Request, from *Child, now time.Time, room []byte, newID func(*broker.Task) broker.ID) (again bool, err error) {
	if req == nil {
		return false, fmt.Errorf("%w: the zero Call; make one with Bind", broker.ErrInvalid)
	}
	if err := req.Draft(t, c.codec, now, room); err != nil {
		return false, err
	}
	again = !t.ID.IsZero()
	if from != nil {
		again = from.identify(req, t, c.codec)
		if err := from.announce(req); err != nil {
			return again, err
		}
	}
	if s := seal.Of(c.codec); s != nil {
		if from == nil {
			again = req.Identify(t, newID)
		}
		if err := req.Seal(t, c.codec); err != nil {
			return false, err
		}
	}
	if err := c.checkLane(t); err != nil {
		return false, err
	}
	if t.Flow.Upstream != "" {
		return false, fmt.Errorf("task %s: %w: it waits for the result of another one; send it by task.Then", t.Name, broker.ErrInvalid)
	}
	if t.ID.IsZero() {
		return false, t.CheckDraft(c.limits)
	}
	return again, t.Check(c.limits)
}

// send stores the records. Their errors become the errors of their calls.
func (s *submission) send(ctx context.Context, c *Client) {
	r := s.records
	s.batch = batch{tasks: r.tasks, until: r.book.now.Add(patience), book: &r.book}
	errs := c.sender.store(ctx, &s.batch)
	if errs == nil {
		// The request itself has ended, not only our wait for it, so nothing reads the records
		// any more.
		r.free()
		return
	}
	for i, err := range errs {
		if err != nil && !r.book.from.stored(r.tasks[i], err) {
			s.fail(s.position(i), err)
		}
	}
}

// requestOf returns the request of a call, nil for a nil call.
func requestOf(call task.Bound) *request.Request {
	if call == nil {
		return nil
	}
	return call.Request()
}

// position returns the position in calls of task i.
func (s *submission) position(i int) int {
	if s.index == nil {
		return i
	}
	return s.index[i]
}

// fail sets the error of calls[i].
func (s *submission) fail(i int, err error) {
	if s.errs == nil {
		s.errs = make([]error, len(s.calls))
	}
	s.errs[i] = err
}

// err returns a [*task.SubmitError] with all calls that failed, or nil.
func (s *submission) err() error {
	var failed []task.FailedCall
	for i, err := range s.errs {
		if err == nil {
			continue
		}
		f := task.FailedCall{Index: i, Name: "call", Err: err}
		if req := requestOf(s.calls[i]); req != nil {
			f.ID, f.Name = req.ID(), req.Name()
		}
		failed = append(failed, f)
	}
	if failed == nil {
		return nil
	}
	return &task.SubmitError{Failed: failed, Total: len(s.calls)}
}
