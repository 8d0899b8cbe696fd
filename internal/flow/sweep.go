package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	f, err := broker.FlowsOf(d.Broker, "killing a group or pipe")
	if err != nil {
		return err
	}
	w := &work{Driver: d, f: f, verdict: tell}
	return w.killNow(ctx, id, nil)
}

// Begin lets a flow without members begin that is blocked by nothing. Nothing of it
// ever arrives by itself: who sends it calls Begin once all that follows from it is
// stored. Repeating it is harmless.
func (d *Driver) Begin(ctx context.Context, id broker.ID) error {
	f, ok := d.Broker.(broker.Flows)
	if !ok {
		return wrap("begin", errors.ErrUnsupported)
	}
	w := &work{Driver: d, f: f}
	if err := w.advance(ctx, id, nil); err != nil {
		return fmt.Errorf("begin %s: %w", id, err)
	}
	if w.canceled {
		return d.Drain(ctx, "")
	}
	return nil
}

// KillAll ends tasks and flows, as far as they are there. What can't be ended keeps
// it from no other one, unless ctx has ended; the error joins all that came of it.
// Repeating it is harmless.
func (d *Driver) KillAll(ctx context.Context, ids []broker.ID) error {
	var tasks []broker.ID
	var errs []error
	for _, id := range ids {
		if id.Kind() == broker.KindTask {
			tasks = append(tasks, id)
			continue
		}
		if err := d.Kill(ctx, id, nil); err != nil && !errors.Is(err, broker.ErrNotFound) {
			errs = append(errs, fmt.Errorf("kill %s: %w", id, err))
		}
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
	}
	for part := range slices.Chunk(tasks, broker.MaxBatch) {
		if _, err := d.Broker.Cancel(ctx, part); err != nil {
			errs = append(errs, wrap("cancel", err))
		}
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
	}
	return errors.Join(append(errs, d.Drain(ctx, ""))...)
}

// Bury does for a flow that was killed what its members that were never stored
// will not do: they arrive as cancelled.
func (d *Driver) Bury(ctx context.Context, id broker.ID) error {
	f, ok := d.Broker.(broker.Flows)
	if !ok {
		return nil
	}
	w := &work{Driver: d, f: f}
	if _, err := w.kill(ctx, id, true); err != nil {
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
		_, err = w.kill(ctx, id, true)
	} else {
		err = w.bury(ctx, p)
	}
	if err != nil {
		return err
	}
	return d.Drain(ctx, "")
}

// kill marks a flow and cancels what is in it. It returns the outcome of a flow
// that has ended, now or before: whoever has killed the flow around it counts it
// there, since an empty flow makes no arrival of its own.
func (w *work) kill(ctx context.Context, id broker.ID, bury bool) (*broker.Outcome, error) {
	if err := w.f.MarkFlow(ctx, id, broker.MarkKilled); err != nil {
		return nil, wrap("mark", err)
	}
	p, err := w.f.LookupFlow(ctx, id)
	if err != nil {
		return nil, wrap("look up", err)
	}
	if p.Outcome != nil {
		return p.Outcome, nil
	}
	if !bury {
		own, err := w.halt(ctx, p)
		if err != nil {
			return nil, err
		}
		if err := w.stop(ctx, id); err != nil {
			return nil, err
		}
		o, err := w.clear(ctx, p)
		if err != nil {
			return nil, err
		}
		return o, w.resume(ctx, own)
	}
	if err := w.bury(ctx, p); err != nil {
		return nil, err
	}
	return nil, wrap("mark", w.f.MarkFlow(ctx, id, broker.MarkSwept))
}

// sweep cancels all members that are not final, and the callback of a flow that
// was killed or, being a squad, has not started. It counts those that have ended
// by that and make no arrival.
func (w *work) sweep(ctx context.Context, p *broker.Progress) error {
	_, ended, err := w.cancelMembers(ctx, p, false)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(ended, broker.MaxBatch) {
		if _, err := w.arrive(ctx, p.Flow.ID, part); err != nil {
			return err
		}
	}
	return nil
}

// bury is sweep, and lets arrive what is not stored.
func (w *work) bury(ctx context.Context, p *broker.Progress) error {
	lost, ended, err := w.cancelMembers(ctx, p, true)
	if err != nil {
		return err
	}
	ended = append(ended, lostArrivals(p.Flow.ID, lost)...)
	for {
		part := ended[:min(len(ended), broker.MaxBatch)]
		ended = ended[len(part):]
		// Also if there is none: what follows may not have been stored before.
		if err := w.advance(ctx, p.Flow.ID, part); err != nil || len(ended) == 0 {
			return err
		}
	}
}

// buryDropped cancels what is left of a squad that has not started, and lets arrive
// what is not stored: whoever was to store it may be gone.
func (w *work) buryDropped(ctx context.Context, p *broker.Progress) error {
	lost, ended, err := w.cancelMembers(ctx, p, true)
	ended = append(ended, lostArrivals(p.Flow.ID, lost)...)
	for err == nil && len(ended) > 0 {
		part := ended[:min(len(ended), broker.MaxBatch)]
		ended = ended[len(part):]
		err = w.advance(ctx, p.Flow.ID, part)
	}
	return err
}

// cancelMembers cancels what is left of a flow. Lost are the places that are not
// stored, ended the arrivals of flows that make none by themselves.
func (w *work) cancelMembers(ctx context.Context, p *broker.Progress, bury bool) (lost []place, ended []broker.Arrival, err error) {
	id := p.Flow.ID
	const over = broker.MarkKilled | broker.MarkDropped
	if p.Marks&over != 0 && !p.Flow.Callback.IsZero() && !p.Callback.Final() {
		if lost, ended, err = w.cancel(ctx, id, []place{{p.Flow.Callback, broker.StepCallback}}, bury); err != nil {
			return nil, nil, err
		}
	}
	for from := 0; ; {
		if err := w.goesOn(ctx); err != nil {
			return nil, nil, err
		}
		page, err := w.f.Members(ctx, id, from, broker.MaxBatch, false)
		if err != nil {
			return nil, nil, wrap("members", err)
		}
		if len(page) == 0 {
			return lost, ended, nil
		}
		var left []place
		for i, m := range page {
			if !m.State.Final() {
				left = append(left, place{m.ID, uint32(from + i)})
			}
		}
		gone, over, err := w.cancel(ctx, id, left, bury)
		if err != nil {
			return nil, nil, err
		}
		lost, ended = append(lost, gone...), append(ended, over...)
		from += len(page)
	}
}

// cancel cancels tasks and kills flows that are members of a flow. It returns those
// that are not stored, and the arrivals of flows that make none by themselves.
func (w *work) cancel(ctx context.Context, flow broker.ID, what []place, bury bool) (lost []place, ended []broker.Arrival, err error) {
	var tasks []place
	var ids []broker.ID
	for _, m := range what {
		if m.id.Kind() == broker.KindTask {
			tasks, ids = append(tasks, m), append(ids, m.id)
			continue
		}
		switch o, err := w.kill(ctx, m.id, bury); {
		case errors.Is(err, broker.ErrNotFound):
			lost = append(lost, m)
		case err != nil:
			return nil, nil, err
		case o != nil:
			ended = append(ended, broker.Arrival{Task: m.id, Flow: flow, Step: m.step, Outcome: *o})
		}
	}
	if len(ids) == 0 {
		return lost, ended, nil
	}
	w.canceled = true
	verdicts, err := w.Broker.Cancel(ctx, ids)
	if err != nil {
		return nil, nil, wrap("cancel", err)
	}
	for i, v := range verdicts {
		if w.verdict != nil {
			w.verdict(ids[i], v)
		}
		if v == broker.CancelUnknown {
			lost = append(lost, tasks[i])
		}
	}
	return lost, ended, nil
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
