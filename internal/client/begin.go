package client

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// What a submission does together with those that are sent with it: one goroutine does
// it for all of them, under one lock.

// begin gives the tasks of submissions their ids, and expects their outcomes: what comes
// back may be faster than the reply. They are about to be sent, in one request.
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
		if s == nil { // a part of a flow, which is expected as a whole
			continue
		}
		for i, t := range s.tasks {
			again := s.again != nil && s.again[i]
			s.records.expected = append(s.records.expected, c.table.expect(t.ID, t.Name, t.Queue, again, s.now))
		}
		if s.again != nil { // else nothing becomes due
			c.schedule(s.now)
		}
	}
}

// identify gives ids to those tasks that have none yet.
func (s *submission) identify(newID func(*broker.Task) broker.ID) {
	for i, t := range s.tasks {
		if t.ID.IsZero() && s.records.requests[i].Identify(t, newID) { // another submission was faster
			s.repeats(i)
		}
	}
}

// siblings gives ids to tasks that are sent together.
type siblings struct{ block broker.Block }

// newID returns an id in a block for an ordinary task: a broker knows all that it
// must of such a one from its block.
func (s *siblings) newID(t *broker.Task) broker.ID {
	if t.Delay > 0 || t.Deadline > 0 || t.Unique != "" {
		return broker.NewTaskID(t.Queue, t.Unique)
	}
	return s.block.NewTaskID(t.Queue, len(t.Payload))
}

// end is told of submissions that were stored, before their callers are.
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

// ended ends what begin began for a submission whose errors its caller has.
func (c *Client) ended(s *submission, errs []error) {
	if len(s.records.expected) == 0 { // it was not begun
		return
	}
	now := s.now
	if errs != nil { // else nothing becomes due
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
