package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// send stores all there is. Stored says that something may be, whatever the
// error is.
func (p *flowPlan) send(ctx context.Context, flows broker.Flows) (stored bool, err error) {
	for i := range p.flows {
		if err := p.open(ctx, flows, &p.flows[i], &stored); err != nil {
			return stored, err
		}
	}
	for _, blocked := range []bool{true, false} {
		if err := p.store(ctx, flows, blocked); err != nil {
			return true, err
		}
		if p.why != nil { // all that waits was stored, so that it can end
			return true, p.why
		}
	}
	return true, nil
}

// open stores a flow, and its members part by part.
func (p *flowPlan) open(ctx context.Context, flows broker.Flows, f *openFlow, stored *bool) error {
	for from := 0; from < len(f.members); from += broker.MaxBatch {
		part := f.members[from:min(from+broker.MaxBatch, len(f.members))]
		err := p.c.persist(ctx, func() error {
			err := flows.OpenFlow(ctx, &f.Flow, from, part)
			*stored = *stored || err == nil || errors.Is(err, broker.ErrIndeterminate)
			var dup *broker.DuplicateError
			if errors.As(err, &dup) && from == 0 && p.sameButInbox(ctx, flows, &f.Flow) {
				err = flows.OpenFlow(ctx, &f.Flow, from, part)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
	}
	return nil
}

// sameButInbox reports whether a flow was stored before, by an earlier attempt
// with another inbox, which f gets then.
func (p *flowPlan) sameButInbox(ctx context.Context, flows broker.Flows, f *broker.Flow) bool {
	if !p.again {
		return false
	}
	old, err := flows.LookupFlow(ctx, f.ID)
	if err != nil {
		return false
	}
	same := *f
	same.Inbox = old.Flow.Inbox
	if same != old.Flow {
		return false
	}
	*f = same
	return true
}

// store enqueues the tasks that are blocked, or those that are not.
func (p *flowPlan) store(ctx context.Context, flows broker.Flows, blocked bool) error {
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
			if err := p.enqueue(ctx, flows, batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
	}
	return p.enqueue(ctx, flows, batch)
}

// briefly is how long sending may have taken before it is asked whether there is
// still a point in it. It is less than a kill is patient with senders.
const briefly = 100 * time.Millisecond

// errOver says that the rest need not be sent.
var errOver = errors.New("the flow was killed or has failed while it was sent")

// over reports whether a flow was killed, or has failed, while it is sent. If that
// can't be told it goes on.
func (p *flowPlan) over(ctx context.Context, flows broker.Flows) bool {
	now, err := flows.LookupFlow(ctx, p.flows[0].ID)
	return err == nil && now.Marks&(broker.MarkKilled|broker.MarkSwept) != 0
}

// abandon ends what was stored of a flow that is over. The flows in it may have
// been opened when nobody looked for them any more.
func (p *flowPlan) abandon(ctx context.Context) error {
	d := p.c.Driver()
	var waiting []broker.ID
	for i := range p.tasks {
		if ft := &p.tasks[i]; ft.blocked && ft.step != broker.StepFinalizer {
			waiting = append(waiting, ft.req.ID())
		}
	}
	err := errors.Join(d.KillAll(ctx, waiting), d.Sweep(ctx, p.flows[0].ID))
	for i := 1; i < len(p.flows) && err == nil; i++ {
		err = d.Bury(ctx, p.flows[i].ID)
	}
	return err
}

// record returns the record of a task as it is stored.
func (p *flowPlan) record(ft *flowTask) (*broker.Task, error) {
	t, err := p.from.prepare(ft.req, p.c.codec, p.now)
	if err != nil {
		return nil, err
	}
	t.Group, t.Step, t.Blocked = p.flows[ft.flow].ID, ft.step, ft.blocked
	if ft.timeout > 0 {
		t.Delay = ft.timeout
	}
	if p.watched(ft.flow) {
		t.Inbox = p.c.inbox.id
	}
	return t, nil
}

func (p *flowPlan) enqueue(ctx context.Context, flows broker.Flows, batch []*broker.Task) error {
	if len(batch) == 0 {
		return nil
	}
	if !batch[0].Blocked { // they may run as soon as they are stored
		if (p.parts > 0 || time.Since(p.now) > briefly) && p.over(ctx, flows) {
			return errOver
		}
		p.parts++
	}
	var first error
	for i, err := range p.c.sender.send(ctx, batch) {
		switch {
		case err == nil:
		case errors.Is(err, broker.ErrInvalid) || errors.Is(err, broker.ErrDuplicate):
			p.refused = append(p.refused, batch[i])
			p.why = cmp.Or(p.why, fmt.Errorf("task %s: %w", batch[i].Name, err))
		default:
			first = cmp.Or(first, fmt.Errorf("task %s: %w", batch[i].Name, err))
		}
	}
	return first
}

// bury ends a flow of which some tasks can never be stored.
func (p *flowPlan) bury(ctx context.Context) error {
	d := p.c.Driver()
	err := d.Bury(ctx, p.flows[0].ID)
	for _, t := range p.refused {
		if t.Step == broker.StepFinalizer { // the others were buried with their flows
			err = errors.Join(err, d.Lost(ctx, t))
		}
	}
	return err
}

// persist does something until it succeeds or has no hope any more, as long as a
// submission is tried.
func (c *Client) persist(ctx context.Context, f func() error) error {
	until := time.Now().Add(patience)
	for try := 0; ; try++ {
		err := f()
		if err == nil || !retryable(err) || !time.Now().Before(until) || !c.sender.pause(ctx, try) {
			return err
		}
	}
}
