package client

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Bookkeeping that a submission shares with the others in its request. One goroutine does it
// for all of them, under one lock of the client: giving ids before the request (begin), and
// updating the table after it (end). A submission that is sent alone, that failed, or whose
// caller left does the second part itself (ended).

// begin gives ids to the tasks of a request that is about to be sent, and enters them in the
// table. That happens before the request because the push of an outcome may arrive before the
// reply of the request.
func (c *Client) begin(parcels []*parcel) {
	var newID func(*broker.Task) broker.ID
	if len(parcels) > 1 || len(parcels[0].tasks) > 1 {
		newID = new(siblings).newID
	}
	for _, p := range parcels {
		if p.of != nil {
			p.of.identify(newID)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range parcels {
		s := p.of
		if s == nil { // tasks of a flow: flowPlan.expect enters those that are pushed
			continue
		}
		for i, t := range s.tasks {
			again := s.again != nil && s.again[i]
			s.records.expected = append(s.records.expected, c.table.expect(t.ID, t.Name, t.Queue, again, s.now))
		}
		if s.again != nil { // otherwise no look-up becomes due
			c.schedule(s.now)
		}
	}
}

// identify gives ids to the tasks that have none yet.
func (s *submission) identify(newID func(*broker.Task) broker.ID) {
	for i, t := range s.tasks {
		if t.ID.IsZero() && s.records.requests[i].Identify(t, newID) {
			// Another submission of the same request was faster.
			s.repeats(i)
		}
	}
}

// siblings makes ids for tasks that are sent in one request. Ids of one block are consecutive,
// which lets brokers store and find such tasks together.
type siblings struct{ block broker.Block }

// newID returns an id from the block for an ordinary task. A block says all that a broker must
// know of the state of an ordinary task; a task with a delay, a deadline or a unique key needs
// an id of its own.
func (s *siblings) newID(t *broker.Task) broker.ID {
	if t.Delay > 0 || t.Deadline > 0 || t.Unique != "" {
		return broker.NewTaskID(t.Queue, t.Unique)
	}
	return s.block.NewTaskID(t.Queue, len(t.Payload))
}

// end updates the table for submissions that were stored, before their callers wake up.
func (c *Client) end(parcels []*parcel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range parcels {
		if p.of != nil {
			for i, t := range p.of.tasks {
				c.table.sentAs(p.of.records.expected[i], t.ID, true, p.of.now)
			}
		}
	}
}

// ended updates the table for one submission, on the goroutine of its caller. errs are the
// errors of its tasks; nil says that all were stored, or that nobody knows.
func (c *Client) ended(s *submission, errs []error) {
	if len(s.records.expected) == 0 { // it left the queue before a request
		return
	}
	now := s.now
	if errs != nil { // otherwise no look-up becomes due, and the time hardly matters
		now = time.Now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, t := range s.tasks {
		stored := errs == nil || errs[i] == nil || errors.Is(errs[i], broker.ErrIndeterminate)
		c.table.sentAs(s.records.expected[i], t.ID, stored, now)
	}
	c.schedule(now)
}
