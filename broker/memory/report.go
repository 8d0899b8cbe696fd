package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var _ broker.Reports = (*Broker)(nil)

// reports are the reports of all tasks that have some, and the calls that wait for reports.
type reports struct {
	n   atomic.Int64 // how many entries all has, mostly 0; lets the end of a task pass without the lock
	mu  sync.Mutex   // taken after the lock of a queue
	all map[broker.ID]*reported
	// The ids in all whose tasks are over, by when they are forgotten. An id whose task is
	// forgotten late is found by no look-up in the meantime.
	expiry expiryQueue[broker.ID]
}

// reported are the reports of one task.
type reported struct {
	last    broker.ReportPosition // of the last report that was added
	list    []broker.Report       // sorted by position
	waiting int                   // how many calls wait
	changed chan struct{}         // closed and replaced by each change; nil while nobody waits
	until   instant               // when it is forgotten; 0 while the task is not over
}

// entry returns the reports of a task, and makes them if necessary. x.mu is held.
func (x *reports) entry(id broker.ID) *reported {
	e := x.all[id]
	if e == nil {
		if x.all == nil {
			x.all = make(map[broker.ID]*reported)
		}
		e = &reported{}
		x.all[id] = e
		x.n.Store(int64(len(x.all)))
	}
	return e
}

// drop removes the reports of a task. x.mu is held.
func (x *reports) drop(id broker.ID) {
	delete(x.all, id)
	x.n.Store(int64(len(x.all)))
}

// tell wakes the calls that wait.
func (e *reported) tell() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// add adds a report, and drops the oldest of its kind that are over the bounds.
func (e *reported) add(r broker.Report) {
	e.last = r.Position
	r.Data = copyBytes(r.Data)
	e.list = append(e.list, r)
	count, size := broker.ReportBounds(r.Kind)
	for i := len(e.list) - 1; i >= 0; i-- {
		if e.list[i].Kind == r.Kind {
			count--
			size -= len(e.list[i].Data)
			if count < 0 || size < 0 {
				e.list = slices.Delete(e.list, i, i+1)
			}
		}
	}
}

// ended notes that a task is final: calls that wait return. If until is not 0, the record of the task
// goes at that time, and its reports with it. The queue of the task is locked.
func (x *reports) ended(b *Broker, id broker.ID, until instant) {
	if x.n.Load() == 0 {
		return
	}
	x.mu.Lock()
	e := x.all[id]
	if e == nil {
		x.mu.Unlock()
		return
	}
	e.tell()
	next := never
	switch {
	case until == 0: // a dead letter, whose record stays
	case len(e.list) == 0 && e.waiting == 0:
		x.drop(id)
	case e.until == 0:
		e.until = until
		x.expiry.add(until, id)
		next = x.expiry.next()
	}
	x.mu.Unlock()
	if next != never {
		b.sweeper.alarm.set(next)
	}
}

// forgetReports forgets reports of tasks that are forgotten. It looks at up to n tasks. It returns
// how many it has looked at, and when more are due.
func (b *Broker) forgetReports(now instant, n int) (done int, next instant) {
	x := &b.reports
	x.mu.Lock()
	defer x.mu.Unlock()
	ids := x.expiry.take(now, n)
	for _, id := range ids {
		// Another task may have the id by now. Its entry has another end, or none.
		if e := x.all[id]; e != nil && e.until != 0 && e.until <= now {
			e.tell()
			x.drop(id)
		}
	}
	return len(ids), x.expiry.next()
}

// AddReports adds reports of an attempt; see [broker.Reports].
func (b *Broker) AddReports(ctx context.Context, d *broker.Delivery, batch []broker.Report) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	if err := broker.CheckReports(d, batch); err != nil {
		return err
	}
	r, _ := b.index.lock(d.ID, now)
	if r == nil {
		return lost(d)
	}
	defer r.queue.unlock()
	if r.state != broker.StateRunning || r.attempt != d.Attempt || r.holding.c.id != d.Minion || r.holding.c.ended.Load() {
		return lost(d)
	}
	if len(batch) == 0 {
		return nil
	}
	x := &b.reports
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.entry(d.ID)
	if e.until != 0 { // reports of an earlier task with this id
		e.tell()
		x.drop(d.ID)
		e = x.entry(d.ID)
	}
	for i := range batch {
		if batch[i].Position.Compare(e.last) > 0 {
			e.add(batch[i])
		}
	}
	e.tell()
	return nil
}

// ReadReports returns reports of a task; see [broker.Reports].
func (b *Broker) ReadReports(ctx context.Context, id broker.ID, after broker.ReportPosition, wait time.Duration) (broker.ReportList, error) {
	var timeout <-chan time.Time
	for {
		now, err := b.enter(ctx)
		if err != nil {
			return broker.ReportList{}, err
		}
		out, e, changed, err := b.reportsAfter(id, after, now, wait > 0)
		if err != nil || e == nil {
			return out, err
		}
		if timeout == nil {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-timeout:
			wait = 0
		case <-ctx.Done():
			err = ctx.Err()
		case <-b.done:
			err = errClosed
		}
		b.reports.leave(id, e)
		if err != nil {
			return broker.ReportList{}, err
		}
	}
}

// leave ends the wait of a call. An entry that nothing needs any more goes.
func (x *reports) leave(id broker.ID, e *reported) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.waiting--; e.waiting == 0 && e.last.Attempt == 0 && x.all[id] == e {
		x.drop(id)
	}
}

// reportsAfter returns the reports of a task after a position. If there is none and the caller
// waits, changed is closed by the next change, and the caller calls leave with e after its wait.
func (b *Broker) reportsAfter(id broker.ID, after broker.ReportPosition, now instant, waits bool) (out broker.ReportList, e *reported, changed <-chan struct{}, err error) {
	r, grave := b.index.lock(id, now)
	switch {
	case r != nil:
		defer r.queue.unlock() // so that the task does not end before the call waits
		out.Final = r.state.Final()
	case now < grave.visibleUntil:
		out.Final = true
	default:
		return out, nil, nil, fmt.Errorf("task %s: %w", id, broker.ErrNotFound)
	}
	out.Next = after
	x := &b.reports
	if x.n.Load() == 0 && (out.Final || !waits) {
		return out, nil, nil, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	// An entry that ends before the record is one of an earlier task with this id.
	if known := x.all[id]; known != nil && (known.until == 0 || r == nil) {
		appendReports(&out, known.list, after)
	}
	if len(out.Reports) > 0 || out.Final || !waits {
		return out, nil, nil, nil
	}
	e = x.entry(id)
	e.waiting++
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return out, e, e.changed, nil
}

// appendReports adds the reports after a position, as many as one call returns. out.Next is that position.
func appendReports(out *broker.ReportList, list []broker.Report, after broker.ReportPosition) {
	from, _ := slices.BinarySearchFunc(list, after, func(r broker.Report, p broker.ReportPosition) int {
		if r.Position.Compare(p) <= 0 {
			return -1
		}
		return 1
	})
	size := 0
	for _, r := range list[from:] {
		if size += len(r.Data); len(out.Reports) == broker.MaxBatch || len(out.Reports) > 0 && size > broker.MaxBatchBytes {
			out.More = true
			return
		}
		r.Data = copyBytes(r.Data)
		out.Reports = append(out.Reports, r)
		out.Next = r.Position
	}
}
