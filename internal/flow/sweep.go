package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// place is a member and where it is in its flow.
type place struct {
	id   broker.ID
	step uint32
}

// Verdict is told what became of a task that was to be cancelled.
type Verdict func(id broker.ID, v broker.CancelVerdict)

// Kill ends a flow: it is marked, so that whatever has not started never does,
// and all its members that are not final are cancelled, those of the flows in
// it too, and the callbacks. Finalizers run all the same. Tell may be nil; it is
// told once or more of every task that was not final, CancelUnknown for one that
// is not stored. ErrNotFound says that there is no such flow.
func (d *Driver) Kill(ctx context.Context, id broker.ID, tell Verdict) error {
	f, ok := d.Broker.(broker.Flows)
	if !ok {
		return wrap("kill", errors.ErrUnsupported)
	}
	w := &work{Driver: d, f: f, verdict: tell}
	if err := w.kill(ctx, id, false); err != nil {
		return err
	}
	return d.Drain(ctx, "")
}

// KillAll ends tasks and flows, as far as they are there. One that can't be ended
// keeps none of the others from it; the first such error is returned.
func (d *Driver) KillAll(ctx context.Context, ids []broker.ID) (err error) {
	var tasks []broker.ID
	for _, id := range ids {
		if id.Kind() == broker.KindTask {
			tasks = append(tasks, id)
			continue
		}
		if bad := d.Kill(ctx, id, nil); bad != nil && !errors.Is(bad, broker.ErrNotFound) && err == nil {
			err = fmt.Errorf("flow %s: %w", id, bad)
		}
	}
	for len(tasks) > 0 {
		part := tasks[:min(len(tasks), broker.MaxBatch)]
		tasks = tasks[len(part):]
		if _, bad := d.Broker.Cancel(ctx, part); bad != nil && err == nil {
			err = wrap("cancel", bad)
		}
	}
	if bad := d.Drain(ctx, ""); err == nil {
		err = bad
	}
	return err
}

// Bury does for a flow that was killed what its members that were never stored
// will not do: they arrive as cancelled.
func (d *Driver) Bury(ctx context.Context, id broker.ID) error {
	f, ok := d.Broker.(broker.Flows)
	if !ok {
		return nil
	}
	w := &work{Driver: d, f: f}
	if err := w.kill(ctx, id, true); err != nil {
		return err
	}
	return d.Drain(ctx, "")
}

// Lost lets a task of a flow arrive as cancelled that can never be stored.
func (d *Driver) Lost(ctx context.Context, t *broker.Task) error {
	f, ok := d.Broker.(broker.Flows)
	if !ok {
		return nil
	}
	w := &work{Driver: d, f: f}
	return w.advance(ctx, t.Group, lostArrivals(t.Group, []place{{t.ID, t.Step}}))
}

// Sweep cancels what is left of a flow that was killed or can't succeed any more.
// Whoever has stored members calls it when it stores no more: some may have come
// after all others were cancelled, and those that never come arrive by this.
func (d *Driver) Sweep(ctx context.Context, id broker.ID) error {
	f, ok := d.Broker.(broker.Flows)
	if !ok {
		return nil
	}
	p, err := f.LookupFlow(ctx, id)
	if errors.Is(err, broker.ErrNotFound) {
		return nil
	}
	if err != nil {
		return wrap("look up", err)
	}
	w := &work{Driver: d, f: f}
	if p.Marks&(broker.MarkKilled|broker.MarkSwept) == 0 || p.Outcome != nil {
		return nil
	}
	if p.Marks&broker.MarkKilled != 0 {
		err = w.kill(ctx, id, true)
	} else {
		err = w.bury(ctx, p)
	}
	if err != nil {
		return err
	}
	return d.Drain(ctx, "")
}

func (w *work) kill(ctx context.Context, id broker.ID, bury bool) error {
	if err := w.f.MarkFlow(ctx, id, broker.MarkKilled); err != nil {
		return wrap("mark", err)
	}
	p, err := w.f.LookupFlow(ctx, id)
	if err != nil {
		return wrap("look up", err)
	}
	if p.Outcome != nil {
		return nil
	}
	if bury {
		err = w.bury(ctx, p)
	} else {
		err = w.sweep(ctx, p)
	}
	if err != nil {
		return err
	}
	return wrap("mark", w.f.MarkFlow(ctx, id, broker.MarkSwept))
}

// sweep cancels all members that are not final, and the callback of a flow that
// was killed or, being a squad, has not started.
func (w *work) sweep(ctx context.Context, p *broker.Progress) error {
	_, err := w.cancelMembers(ctx, p, false)
	return err
}

// bury is sweep, and lets arrive what is not stored.
func (w *work) bury(ctx context.Context, p *broker.Progress) error {
	lost, err := w.cancelMembers(ctx, p, true)
	if err != nil {
		return err
	}
	for {
		part := lost[:min(len(lost), broker.MaxBatch)]
		lost = lost[len(part):]
		// Also if there is none: what follows may not have been stored before.
		if err := w.advance(ctx, p.Flow.ID, lostArrivals(p.Flow.ID, part)); err != nil || len(lost) == 0 {
			return err
		}
	}
}

// buryDropped cancels what is left of a squad that has not started, and lets arrive
// what is not stored: whoever was to store it may be gone.
func (w *work) buryDropped(ctx context.Context, p *broker.Progress) error {
	lost, err := w.cancelMembers(ctx, p, true)
	for err == nil && len(lost) > 0 {
		part := lost[:min(len(lost), broker.MaxBatch)]
		lost = lost[len(part):]
		err = w.advance(ctx, p.Flow.ID, lostArrivals(p.Flow.ID, part))
	}
	return err
}

func (w *work) cancelMembers(ctx context.Context, p *broker.Progress, bury bool) (lost []place, err error) {
	id := p.Flow.ID
	const over = broker.MarkKilled | broker.MarkDropped
	if p.Marks&over != 0 && !p.Flow.Callback.IsZero() && !p.Callback.Final() {
		if lost, err = w.cancelPlaces(ctx, []place{{p.Flow.Callback, broker.StepCallback}}, bury); err != nil {
			return nil, err
		}
	}
	for from := 0; ; {
		page, err := w.f.Members(ctx, id, from, broker.MaxBatch)
		if err != nil {
			return nil, wrap("members", err)
		}
		if len(page) == 0 {
			return lost, nil
		}
		var left []place
		for i, m := range page {
			if !m.State.Final() {
				left = append(left, place{m.ID, uint32(from + i)})
			}
		}
		gone, err := w.cancelPlaces(ctx, left, bury)
		if err != nil {
			return nil, err
		}
		lost = append(lost, gone...)
		from += len(page)
	}
}

// cancel cancels tasks and kills flows, and returns those that are not stored.
func (w *work) cancel(ctx context.Context, what []place) (lost []place, err error) {
	return w.cancelPlaces(ctx, what, false)
}

func (w *work) cancelPlaces(ctx context.Context, what []place, bury bool) (lost []place, err error) {
	var tasks []place
	var ids []broker.ID
	for _, m := range what {
		if m.id.Kind() == broker.KindTask {
			tasks, ids = append(tasks, m), append(ids, m.id)
			continue
		}
		switch err := w.kill(ctx, m.id, bury); {
		case errors.Is(err, broker.ErrNotFound):
			lost = append(lost, m)
		case err != nil:
			return nil, err
		}
	}
	if len(ids) == 0 {
		return lost, nil
	}
	w.canceled = true
	verdicts, err := w.Broker.Cancel(ctx, ids)
	if err != nil {
		return nil, wrap("cancel", err)
	}
	for i, v := range verdicts {
		if w.verdict != nil {
			w.verdict(ids[i], v)
		}
		if v == broker.CancelUnknown {
			lost = append(lost, tasks[i])
		}
	}
	return lost, nil
}

// lostArrivals are those of members that will never make one.
func lostArrivals(flow broker.ID, lost []place) []broker.Arrival {
	out := make([]broker.Arrival, len(lost))
	for i, m := range lost {
		out[i] = broker.Arrival{Task: m.id, Flow: flow, Step: m.step, Outcome: broker.Outcome{
			State: broker.StateCanceled, Finished: time.Now(),
			Err: &broker.Failure{Message: "it was never stored"},
		}}
	}
	return out
}
