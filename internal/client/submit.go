package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/seal"
	"github.com/go-arbiter/arbiter/internal/slab"
	"github.com/go-arbiter/arbiter/task"
)

// submission is a Submit under way.
type submission struct {
	calls []task.Bound
	errs  []error        // nil, or one for each call
	tasks []*broker.Task // what is sent
	index []int          // where each of tasks is in calls; nil if they are the same
	again []bool         // of each of tasks, whether it may have been sent before; nil if none was
	flows map[int]error  // the calls that are pipes or groups, which were sent, and what came of that

	now     time.Time // about when it began
	records *records  // of tasks
	parcel  parcel    // of tasks, too
}

// records are the memory of the tasks of a submission. A broker reads them only
// until it has stored them, so they are used again.
type records struct {
	all      []broker.Task
	tasks    []*broker.Task  // of all, what is sent
	requests []*task.Request // of what is sent
	expected []*entry        // of each, what it was in the table when it was sent
}

var spareRecords = sync.Pool{New: func() any { return new(records) }}

// newRecords returns records for up to n tasks.
func newRecords(n int) *records {
	r := spareRecords.Get().(*records)
	if cap(r.all) < n {
		r.all = make([]broker.Task, 0, n)
	}
	return r
}

func (r *records) next() *broker.Task {
	r.all = r.all[:len(r.all)+1]
	return &r.all[len(r.all)-1]
}

// free lets the records be used again. Nobody may be reading them any more.
func (r *records) free() {
	if cap(r.all) > broker.MaxBatch { // a rare giant must not stay
		return
	}
	clear(r.all)
	clear(r.tasks)
	clear(r.requests)
	clear(r.expected)
	r.all, r.tasks, r.requests, r.expected = r.all[:0], r.tasks[:0], r.requests[:0], r.expected[:0]
	spareRecords.Put(r)
}

// submit sends calls for who runs in from, nil for nobody.
func (c *Client) submit(ctx context.Context, from *Child, calls []task.Bound) error {
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
	s.now = time.Now()
	s.sendFlows(ctx, c, from)
	if s.flows != nil { // that may have taken long
		s.now = time.Now()
	}
	s.prepare(c, from)
	if len(s.tasks) == 0 || from != nil && !s.revive(ctx, c, from) {
		return s.err()
	}
	s.parcel = parcel{tasks: s.tasks, of: s, until: s.now.Add(patience)}
	over := false
	defer func() {
		if !over { // the broker has panicked, and nobody knows what is stored
			c.ended(s, nil)
		}
	}()
	errs := c.sender.sendParcel(ctx, &s.parcel)
	over = true
	for i, err := range errs {
		if from.stored(s.tasks[i], err) {
			errs[i] = nil
		}
	}
	// No error at all says that the request is over, and not only our wait.
	if errs == nil {
		defer s.records.free()
	}
	if !s.parcel.ended {
		c.ended(s, errs)
	}
	for i, err := range errs {
		if err != nil {
			s.fail(s.place(i), err)
		}
	}
	return s.err()
}

// enter begins a submission, which Close waits for until c.sending is told that it
// is done. An error says why nothing can be sent, and that nothing has begun.
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

// ready reports why nothing can be sent.
func (c *Client) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("not sent: %w", err)
	}
	switch err := c.openInbox(ctx); {
	case errors.Is(err, broker.ErrIndeterminate): // of the inbox, and no task
		return fmt.Errorf("not sent: inbox: %w: %s", broker.ErrUnavailable, err.Error())
	case err != nil:
		return fmt.Errorf("not sent: inbox: %w", err)
	}
	return nil
}

// prepare makes the tasks of the calls, as far as they can be sent.
func (s *submission) prepare(c *Client, from *Child) {
	s.records = newRecords(len(s.calls))
	s.tasks = s.records.tasks
	payloads := slab.Bytes{Left: len(s.calls)}
	var newID func(*broker.Task) broker.ID
	if len(s.calls) > 1 {
		newID = new(siblings).newID
	}
	for i, call := range s.calls {
		t := s.records.next()
		again := false
		req := requestOf(call)
		err, sent := s.flowErr(i)
		if !sent {
			again, err = c.prepare(t, req, from, s.now, payloads.Room(), newID)
			payloads.Keep(t.Payload)
		}
		if err != nil || sent {
			if s.index == nil { // up to here they were the same
				s.index = make([]int, len(s.tasks), len(s.calls))
				for k := range s.index {
					s.index[k] = k
				}
			}
			s.fail(i, err)
			continue
		}
		t.Inbox = c.inbox.id
		s.tasks = append(s.tasks, t)
		s.records.requests = append(s.records.requests, req)
		if s.index != nil {
			s.index = append(s.index, i)
		}
		if again {
			s.repeats(len(s.tasks) - 1)
		}
	}
	s.records.tasks = s.tasks
}

// repeats notes that a task may have been sent before.
func (s *submission) repeats(i int) {
	if s.again == nil {
		s.again = make([]bool, len(s.calls))
	}
	s.again[i] = true
}

// prepare makes t the record of a request, and reports whether that may have been sent
// before. It has no id yet if it is from nobody and had none: see [Client.begin]; but what is
// sealed has one, by newID, since that is in the seal. The payload is put in room, if it fits.
func (c *Client) prepare(t *broker.Task, req *task.Request, from *Child, now time.Time, room []byte, newID func(*broker.Task) broker.ID) (again bool, err error) {
	if req == nil {
		return false, fmt.Errorf("%w: the zero Call; make one with Bind", broker.ErrInvalid)
	}
	if err := req.Draft(t, c.codec, now, room); err != nil {
		return false, err
	}
	again = !t.ID.IsZero()
	if from != nil {
		again = from.identify(req, t, c.codec)
		if err := from.sends(req); err != nil {
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
	if t.Upstream != "" {
		return false, fmt.Errorf("task %s: %w: it waits for the result of another one; send it by task.Then", t.Name, broker.ErrInvalid)
	}
	if t.ID.IsZero() {
		return false, t.CheckDraft(c.limits)
	}
	return again, t.Check(c.limits)
}

func requestOf(call task.Bound) *task.Request {
	if call == nil {
		return nil
	}
	return call.Request()
}

// place returns where the i-th of tasks is in calls.
func (s *submission) place(i int) int {
	if s.index == nil {
		return i
	}
	return s.index[i]
}

func (s *submission) fail(i int, err error) {
	if s.errs == nil {
		s.errs = make([]error, len(s.calls))
	}
	s.errs[i] = err
}

// err returns nil or a *task.SubmitError.
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
