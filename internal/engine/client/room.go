package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/backoff"
	"github.com/go-arbiter/arbiter/task"
)

// A queue with a bound refuses tasks while it is full. A call with the option WaitForRoom is then sent
// again until there is room, or until its context ends.
//
// Nothing tells a client that there is room: the minions that make it would have to look for waiting
// clients with every task, in all queues. So clients ask. They ask seldom: all calls of a client that wait for
// one queue stand in a line, and only the first one asks, after pauses that become longer. When it is
// stored, the next one asks at once.

const (
	// The pauses between two tries to send a call to a full queue.
	leastRoomPause = 20 * time.Millisecond
	mostRoomPause  = time.Second
)

// roomLines has the lines of the queues for whose room calls of a client wait.
type roomLines struct {
	mu  sync.Mutex
	all map[string]*roomLine // by queue
}

// roomLine is a line of submissions that wait for room in one queue.
type roomLine struct {
	n     int           // number of submissions in line
	first chan struct{} // full while one of them is the first; the others wait until they can send to it, and Go wakes them in their order
	full  bool          // the queue was full when it was last asked
	tries int           // how often it was full, less how often it was not: the more, the longer is the next pause
}

// enterLine waits until the submission is the first in the line of a queue. It returns the line, or why the wait
// has ended early. If the line is not nil, leave must be called.
func (c *Client) enterLine(ctx context.Context, queue string) (*roomLine, error) {
	r := &c.room
	r.mu.Lock()
	l := r.all[queue]
	if l == nil {
		if r.all == nil {
			r.all = make(map[string]*roomLine)
		}
		l = &roomLine{first: make(chan struct{}, 1), full: true}
		r.all[queue] = l
	}
	l.n++
	r.mu.Unlock()
	var err error
	select {
	case l.first <- struct{}{}:
		return l, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.closing:
		err = c.shut
	}
	r.leave(queue, l)
	return nil, err
}

// leave takes a submission out of a line, in which it is not the first one any more.
func (r *roomLines) leave(queue string, l *roomLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.n--; l.n == 0 {
		delete(r.all, queue)
	}
}

// pauseForRoom waits for the pause after so many tries. It returns why that ended early, or nil.
func (c *Client) pauseForRoom(ctx context.Context, tries int) error {
	timer := time.NewTimer(backoff.Delay(tries, leastRoomPause, mostRoomPause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.closing:
		return c.shut
	}
}

// persistFull sends those of several tasks or calls again that were refused since their queue was full,
// until there is room, or until ctx ends or the client is closed. errs are their errors, by number; persistFull
// replaces those of the ones that it has sent. waits says whether number i waits for room. send sends those with
// the given numbers and returns their errors, or nil if there are none. Calls for different queues do not wait
// for each other, so send may be called concurrently.
func (c *Client) persistFull(ctx context.Context, errs []error, waits func(i int) bool, send func(numbers []int) []error) {
	byQueue := make(map[string][]int)
	var queues []string
	for i := range errs {
		if full, ok := errors.AsType[*broker.FullError](errs[i]); ok && waits(i) {
			if byQueue[full.Queue] == nil {
				queues = append(queues, full.Queue)
			}
			byQueue[full.Queue] = append(byQueue[full.Queue], i)
		}
	}
	concurrently(len(queues), func(at int) error {
		c.waitInLine(ctx, queues[at], byQueue[queues[at]], errs, send)
		return nil
	})
}

// waitInLine is persistFull for the numbers that wait for one queue.
func (c *Client) waitInLine(ctx context.Context, queue string, numbers []int, errs []error, send func([]int) []error) {
	l, why := c.enterLine(ctx, queue)
	if l != nil {
		defer c.room.leave(queue, l)
		defer func() { <-l.first }()
	}
	for why == nil {
		if l.full {
			if why = c.pauseForRoom(ctx, l.tries); why != nil {
				break
			}
			l.tries++
		}
		next := send(numbers)
		var left []int
		for i, number := range numbers {
			old := errs[number]
			errs[number] = nil
			if next != nil {
				errs[number] = fullAfter(old, next[i])
			}
			if errors.Is(errs[number], broker.ErrFull) {
				left = append(left, number)
			}
		}
		l.full = len(left) > 0
		if !l.full {
			l.tries = max(l.tries-2, 0)
			return
		}
		numbers = left
	}
	for _, number := range numbers {
		errs[number] = fmt.Errorf("%w while it waited for room: %w", why, errs[number])
	}
}

// fullAfter returns the error of a task whose last request has failed with err, and the one before it with old. A request
// whose reply was lost may come late, and find room. So it is not known that the task will not be stored.
func fullAfter(old, err error) error {
	if errors.Is(old, broker.ErrIndeterminate) && errors.Is(err, broker.ErrFull) && !errors.Is(err, broker.ErrIndeterminate) {
		return fmt.Errorf("%w: %w", broker.ErrIndeterminate, err)
	}
	return err
}

// waitForRoom sends those calls again for which the queue had no room and that wait for it. err is the error
// of the submission so far. Calls that are groups or pipes have waited already, and were ended.
func (c *Client) waitForRoom(ctx context.Context, from *Child, calls []task.Bound, err error) error {
	var all *task.SubmitError
	if !errors.Is(err, broker.ErrFull) || !errors.As(err, &all) {
		return err
	}
	errs := make([]error, len(all.Failed))
	for i, f := range all.Failed {
		errs[i] = f.Err
	}
	waits := func(i int) bool {
		req := requestOf(calls[all.Failed[i].Index])
		return req.WaitsForRoom() && req.Flow() == nil
	}
	c.persistFull(ctx, errs, waits, func(numbers []int) []error {
		again := make([]task.Bound, len(numbers))
		for i, number := range numbers {
			again[i] = calls[all.Failed[number].Index]
		}
		var rest *task.SubmitError
		if !errors.As(c.submitOnce(ctx, from, again), &rest) {
			return nil
		}
		next := make([]error, len(numbers))
		for _, f := range rest.Failed {
			next[f.Index] = f.Err
		}
		return next
	})
	left := &task.SubmitError{Total: all.Total}
	for i, f := range all.Failed {
		if errs[i] != nil {
			f.Err = errs[i]
			left.Failed = append(left.Failed, f)
		}
	}
	if len(left.Failed) == 0 {
		return nil
	}
	return left
}

// sendPatiently sends those tasks of a batch again for which there was no room. errs are the errors of the first
// request; it returns those of the last one for each task.
func (p *flowPlan) sendPatiently(ctx context.Context, batch []*broker.Task, errs []error) []error {
	if !slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, broker.ErrFull) }) {
		return errs
	}
	p.c.persistFull(ctx, errs, func(int) bool { return true }, func(numbers []int) []error {
		again := make([]*broker.Task, len(numbers))
		for i, number := range numbers {
			again[i] = batch[number]
		}
		if p.unwanted(ctx) {
			return slices.Repeat([]error{errUnwanted}, len(again))
		}
		return p.c.sender.send(ctx, again, time.Now())
	})
	return errs
}
