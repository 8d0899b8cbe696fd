package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
)

// This file stores a planned pipe or group, in the order that flow.go explains: the outermost
// flow first, then the inner flows concurrently, then the blocked tasks, then the tasks that
// may run at once. While it does so, members may already run, fail, or be killed. So before
// each further request with tasks that may run, it asks whether the flow is still wanted
// (unwanted). If it is not, the stored part is ended (abandon).

// Errors are of three kinds. A request that did not reach the broker is repeated (persist, and
// the sender for tasks). A task that the broker will never store makes the flow incomplete: the
// other tasks that wait are still stored, and then the flow is ended, so that its finalizers
// run as in any flow that fails. Any other error ends the sending; the call is to be sent
// again.

// send stores the whole plan. stored reports whether the broker may hold any of it, also if
// there is an error.
func (p *flowPlan) send(ctx context.Context) (stored bool, err error) {
	if err := p.open(ctx, &p.flows[0], &stored); err != nil {
		return stored, err
	}
	// The outermost flow is stored: a kill finds the others through it now. If one of them
	// fails, the rest is not sent.
	inner := p.flows[1:]
	var bad atomic.Pointer[error]
	concurrently(len(inner), func(i int) error {
		var opened bool
		if bad.Load() == nil {
			if err := p.open(ctx, &inner[i], &opened); err != nil {
				bad.CompareAndSwap(nil, &err)
			}
		}
		return nil
	})
	if err := bad.Load(); err != nil {
		return true, *err
	}
	// Blocked tasks first, then the empty flows, then the tasks that may run.
	for _, blocked := range []bool{true, false} {
		if err := p.store(ctx, blocked); err != nil {
			return true, err
		}
		if p.why != nil { // everything that waits was stored, so the flow can be ended
			return true, p.why
		}
		if blocked {
			if err := p.begin(ctx); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}

// begin starts the empty flows that wait for nothing. Nothing of the plan may run before this;
// afterwards any driver that finds one of these flows moves the plan on.
func (p *flowPlan) begin(ctx context.Context) error {
	var ids []broker.ID
	for i := range p.flows {
		if f := &p.flows[i]; f.Size == 0 && !f.blocked {
			ids = append(ids, f.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	// A driver moves each of them on as if a member of it had arrived.
	d := p.c.Driver()
	return cmp.Or(concurrently(len(ids), func(i int) error {
		return p.c.persist(ctx, time.Now().Add(patience), func() error { return d.Begin(ctx, ids[i]) })
	})...)
}

// open stores a flow record and its list of members, in pages of MaxBatch. stored is set if the
// broker may hold some of it.
func (p *flowPlan) open(ctx context.Context, f *plannedFlow, stored *bool) error {
	until := p.now.Add(patience) // shared by all calls until something is stored
	// The loop runs once for an empty flow.
	for from := 0; from == 0 || from < len(f.members); from += broker.MaxBatch {
		part := f.members[from:min(from+broker.MaxBatch, len(f.members))]
		if from > 0 || f.parent >= 0 {
			until = time.Now().Add(patience)
		}
		err := p.c.persist(ctx, until, func() error {
			// Storing the same flow twice is no error for the broker. A flow with the same id
			// and another inbox is, and an earlier attempt may have stored that.
			err := p.b.OpenFlow(ctx, &f.Flow, from, part)
			*stored = *stored || err == nil || errors.Is(err, broker.ErrIndeterminate)
			var dup *broker.DuplicateError
			if errors.As(err, &dup) && from == 0 && p.sameButInbox(ctx, f) {
				err = p.b.OpenFlow(ctx, &f.Flow, from, part)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
	}
	return nil
}

// sameButInbox reports whether f was stored by an earlier attempt of the sending task, and
// differs only in its inbox and its seal. If so, it gives f the stored inbox and seal.
func (p *flowPlan) sameButInbox(ctx context.Context, f *plannedFlow) bool {
	if !p.again {
		return false
	}
	old, err := p.b.LookupFlow(ctx, f.ID)
	if err != nil {
		return false
	}
	same := f.Flow
	// Sealing the same content twice gives different bytes.
	same.Inbox, same.Seal = old.Flow.Inbox, old.Flow.Seal
	if same != old.Flow {
		return false
	}
	if f.Seal != "" {
		if s, err := seal.OpenFlow(p.c.codecs, &same, f.members); err != nil || s == nil {
			return false
		}
	}
	f.Flow = same
	return true
}

// store enqueues the tasks that are blocked, or the tasks that are not.
func (p *flowPlan) store(ctx context.Context, blocked bool) error {
	// Records are made batch by batch, so that a large flow is never in memory as a whole.
	var batch []*broker.Task
	size := 0
	for i := range p.tasks {
		ft := &p.tasks[i]
		if ft.blocked != blocked {
			continue
		}
		t, err := p.record(ft)
		if err != nil {
			return err
		}
		batch = append(batch, t)
		size += t.Size()
		if len(batch) == broker.MaxBatch || size >= broker.MaxBatchBytes {
			if err := p.enqueue(ctx, batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
	}
	return p.enqueue(ctx, batch)
}

// unwantedAfter is how long sending may take before the sender asks whether the flow is still
// wanted. It is shorter than a kill waits for senders.
const unwantedAfter = 100 * time.Millisecond

// errUnwanted ends the sending of a flow that is no longer wanted.
var errUnwanted = errors.New("the group or pipe was killed or has failed while it was sent")

// unwanted reports whether the flow was killed, or has failed, while it is being sent. If the
// broker can't tell, sending goes on.
func (p *flowPlan) unwanted(ctx context.Context) bool {
	now, err := p.b.LookupFlow(ctx, p.flows[0].ID)
	return err == nil && now.Marks&(broker.MarkKilled|broker.MarkSwept) != 0
}

// abandon ends the stored part of a flow that is no longer wanted. Inner flows need a Bury of
// their own: they may have been stored after the kill had looked for them.
func (p *flowPlan) abandon(ctx context.Context) error {
	d := p.c.Driver()
	// Finalizers are left out: they run even if the flow was killed.
	var waiting []broker.ID
	for i := range p.tasks {
		if ft := &p.tasks[i]; ft.blocked && !ft.final {
			waiting = append(waiting, ft.req.ID())
		}
	}
	err := errors.Join(d.KillAll(ctx, waiting), d.Sweep(ctx, p.flows[0].ID))
	for i := 1; i < len(p.flows) && err == nil; i++ {
		if !p.flows[i].final {
			err = d.Bury(ctx, p.flows[i].ID)
		}
	}
	return err
}

// record returns the record of a task as it is stored now.
func (p *flowPlan) record(ft *plannedTask) (*broker.Task, error) {
	t, err := p.from.prepare(ft.req, p.c.codec, p.now)
	if err != nil {
		return nil, err
	}
	p.patient = p.patient || ft.req.WaitsForRoom()
	t.Flow.ID, t.Flow.Step, t.Flow.Blocked = p.flows[ft.flow].ID, ft.step, ft.blocked
	if err := ft.req.Seal(t, p.c.codec); err != nil {
		return nil, err
	}
	if ft.timeout > 0 {
		t.Delay = ft.timeout
	}
	if p.watched(ft.flow) {
		t.Inbox = p.c.inbox.id
	}
	return t, nil
}

// enqueue stores a batch of tasks. A task that the broker will never store goes to p.refused;
// any other error is returned.
func (p *flowPlan) enqueue(ctx context.Context, batch []*broker.Task) error {
	if len(batch) == 0 {
		return nil
	}
	if !batch[0].Flow.Blocked { // they may run as soon as they are stored
		if (p.parts > 0 || time.Since(p.now) > unwantedAfter) && p.unwanted(ctx) {
			return errUnwanted
		}
		p.parts++
	}
	p.addNames(batch)
	// A task that is refused for good makes the flow incomplete, but the other tasks of the
	// batch are stored. Any other error ends the sending.
	errs := p.c.sender.send(ctx, batch, time.Now())
	if p.patient {
		errs = p.sendPatiently(ctx, batch, errs)
	}
	var first error
	for i, err := range errs {
		switch {
		case err == nil || p.from.stored(batch[i], err):
		case errors.Is(err, broker.ErrInvalid) || errors.Is(err, broker.ErrDuplicate) || errors.Is(err, broker.ErrFull) && !errors.Is(err, broker.ErrIndeterminate):
			p.refused = append(p.refused, batch[i])
			p.why = cmp.Or(p.why, fmt.Errorf("task %s: %w", batch[i].Name, err))
		default:
			first = cmp.Or(first, fmt.Errorf("task %s: %w", batch[i].Name, err))
		}
	}
	return first
}

// addNames tells the table the names and queues of members whose outcomes are pushed. They
// appear in the errors of waits.
func (p *flowPlan) addNames(batch []*broker.Task) {
	if !p.watch {
		return
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	for _, t := range batch {
		if e := p.c.table.entries.get(t.ID); e != nil {
			e.label = p.c.table.labels.get(t.Name, t.Queue)
		}
	}
}

// endIncomplete ends a flow that can never become complete, because some of its tasks were
// refused.
func (p *flowPlan) endIncomplete(ctx context.Context) error {
	d := p.c.Driver()
	err := d.Bury(ctx, p.flows[0].ID)
	for _, t := range p.refused {
		if p.final(t) { // the other tasks ended with their flows
			err = errors.Join(err, d.Lost(ctx, t))
		}
	}
	return err
}

// final reports whether a task is a finalizer.
func (p *flowPlan) final(t *broker.Task) bool {
	return t.Flow.Step == broker.StepFinalizer ||
		slices.ContainsFunc(p.flows, func(f plannedFlow) bool { return f.final && f.ID == t.Flow.ID })
}

// persist calls f until it succeeds, its error is not worth a repetition, or the time until
// has passed.
func (c *Client) persist(ctx context.Context, until time.Time, f func() error) error {
	for try := 0; ; try++ {
		err := f()
		if err == nil || !retryable(err) || !time.Now().Before(until) || !c.sender.pause(ctx, try) {
			return err
		}
	}
}

// maxConcurrent is how many flows are sent concurrently.
const maxConcurrent = 16

// concurrently calls f for each number below n, up to maxConcurrent at a time, and returns the
// errors by number.
func concurrently(n int, f func(i int) error) []error {
	errs := make([]error, n)
	if n <= 1 {
		for i := range errs {
			errs[i] = f(i)
		}
		return errs
	}
	// A few goroutines take the next number in turn.
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, maxConcurrent) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[i] = f(i)
			}
		})
	}
	wg.Wait()
	return errs
}
