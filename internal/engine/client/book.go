package client

import (
	"errors"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task/request"
)

// Bookkeeping for the tasks of batches. Before its first request, a task needs an id and an
// entry in the table, because the push of its outcome may arrive before the reply of the
// request. After the last request, the table learns whether the broker has the task. The sender
// asks for both, for all batches of a request at once, so that they share one lock of the
// client, and a block of ids.

// book is the bookkeeping for the tasks of one batch. Its lists are parallel to batch.tasks. A
// nil book belongs to tasks of a pipe or group, which is entered in the table as a whole.
type book struct {
	from     *Child // the running task that sends the batch; nil for an arbiter
	now      time.Time
	requests []*request.Request
	again    []bool   // again[i] reports whether task i may have been sent before; nil if no task was
	entries  []*entry // entries[i] is task i in the table, from its first request on
}

// repeats notes that task i of n may have been sent before.
func (k *book) repeats(i, n int) {
	if k.again == nil {
		k.again = make([]bool, n)
	}
	k.again[i] = true
}

// beginBatches gives ids to the tasks of a request that is about to be sent, and enters them in
// the table.
func (c *Client) beginBatches(batches []*batch) {
	var newID func(*broker.Task) broker.ID
	if len(batches) > 1 || len(batches[0].tasks) > 1 {
		newID = new(siblings).newID
	}
	for _, b := range batches {
		b.book.identify(b.tasks, newID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range batches {
		b.book.expect(&c.table, b.tasks)
		if b.book != nil && b.book.again != nil { // otherwise no look-up becomes due
			c.schedule(b.book.now)
		}
	}
}

// endBatches tells the table which tasks of batches were stored. errs are the errors of the
// tasks of a single batch. nil says that all tasks were stored, or that nobody knows.
func (c *Client) endBatches(errs []error, batches []*batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range batches {
		b.book.sent(&c.table, b.tasks, errs)
	}
	if errs != nil { // otherwise no look-up becomes due
		c.schedule(time.Now())
	}
}

// identify gives ids to the tasks that have none yet.
func (k *book) identify(tasks []*broker.Task, newID func(*broker.Task) broker.ID) {
	if k == nil {
		return
	}
	for i, t := range tasks {
		if t.ID.IsZero() && k.requests[i].Identify(t, newID) { // another submission of the same request was faster
			k.repeats(i, len(tasks))
		}
	}
}

// expect enters the tasks in the table.
func (k *book) expect(tab *table, tasks []*broker.Task) {
	if k == nil {
		return
	}
	for i, t := range tasks {
		again := k.again != nil && k.again[i]
		k.entries = append(k.entries, tab.expect(t.ID, t.Name, t.Queue, again, k.now))
	}
}

// sent tells the table which of the tasks were stored. errs are their errors, or nil. A task
// whose storing is indeterminate counts as stored: its outcome may still be pushed.
func (k *book) sent(tab *table, tasks []*broker.Task, errs []error) {
	if k == nil {
		return
	}
	now := k.now
	if errs != nil {
		now = time.Now()
	}
	for i, t := range tasks {
		stored := errs == nil || errs[i] == nil || errors.Is(errs[i], broker.ErrIndeterminate) || k.from.stored(t, errs[i])
		tab.sentAs(k.entries[i], t.ID, stored, now)
	}
}

// siblings makes ids for tasks that are sent in one request. Ids of one block are consecutive,
// which lets brokers store and find such tasks together.
type siblings struct{ block broker.Block }

// newID returns an id from the block for an ordinary task. A block says all that a broker must
// know of the state of an ordinary task; a task with a delay, a deadline, a unique key or a lane
// needs an id of its own.
func (s *siblings) newID(t *broker.Task) broker.ID {
	if t.Delay > 0 || t.Deadline > 0 || t.Unique.Key != "" || t.Lane != nil {
		return t.NewID()
	}
	return s.block.NewTaskID(t.Queue, len(t.Payload))
}
