package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Ending a flow early: because it is killed, because too few of its members can still succeed,
// or because it was never stored as a whole. All of these cancel the members that are not
// final. They differ in members that were never stored:
//
//   - sweep leaves them alone, because their sender may still store them, and cancels them
//     then.
//   - bury counts them as canceled, and is for the sender itself when it stores no more.
//
// Both may be repeated at any time.

// member is a member and its position in its flow.
type member struct {
	id   broker.ID
	step uint32
}

// Verdict is called with the result of cancelling a task.
type Verdict func(id broker.ID, v broker.CancelVerdict)

// Kill ends a flow. It marks the flow, so that a member that has not started never does, and
// cancels all members that are not final, members of inner flows too, and the callbacks.
// Finalizers still run. tell may be nil. It is called at least once for every task that was not
// final, with CancelUnknown for a task that is not stored. The error wraps ErrNotFound if there
// is no such flow.
func (d *Driver) Kill(ctx context.Context, id broker.ID, tell Verdict) error {
	f, err := broker.FlowsOf(d.Broker, "killing a group or pipe")
	if err != nil {
		return err
	}
	w := &work{Driver: d, f: f, verdict: tell}
	return w.killNow(ctx, id, nil)
}

// Begin starts a flow without members that waits for nothing. Such a flow makes no arrival, so
// its sender calls Begin once everything that follows from it is stored. It may be repeated.
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

// KillAll ends those of the tasks and flows that are stored. A failure for one does not keep it
// from the others, unless ctx has ended. The error joins all failures. It may be repeated.
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

// Bury kills a flow and counts the members that were never stored as canceled. Its sender calls
// it when it will store no more.
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

// Lost counts a task of a flow as canceled that can never be stored.
func (d *Driver) Lost(ctx context.Context, t *broker.Task) error {
	f, ok := d.Broker.(broker.Flows)
	if !ok {
		return nil
	}
	w := &work{Driver: d, f: f}
	return w.advance(ctx, t.Flow.ID, lostArrivals(t.Flow.ID, []member{{t.ID, t.Flow.Step}}))
}

// Sweep cancels the rest of a flow that was killed or can't succeed any more; otherwise it does
// nothing. A sender calls it after it has stored the last member: some members may have been
// stored after all others were cancelled, and those that never will be are counted as canceled.
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

// kill marks a flow and cancels its members. It returns the outcome of a flow that has ended,
// now or before. The caller, which has killed the flow around it, counts that there: an empty
// flow makes no arrival of its own.
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
		o, err := w.cancelRest(ctx, p)
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

// sweep cancels all members that are not final. It also cancels the callback of a flow that was
// killed, or of a squad that has not started. It counts the members that have ended by that and
// make no arrival.
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

// bury is sweep, and also counts members that are not stored as canceled.
func (w *work) bury(ctx context.Context, p *broker.Progress) error {
	lost, ended, err := w.cancelMembers(ctx, p, true)
	if err != nil {
		return err
	}
	ended = append(ended, lostArrivals(p.Flow.ID, lost)...)
	for {
		part := ended[:min(len(ended), broker.MaxBatch)]
		ended = ended[len(part):]
		// Also if part is empty: the callback and finalizer may not have been stored before.
		if err := w.advance(ctx, p.Flow.ID, part); err != nil || len(ended) == 0 {
			return err
		}
	}
}

// buryDropped is bury for a squad that has not started: the process that was to store the rest
// of it may have died.
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

// cancelMembers cancels the rest of a flow. lost are the members that are not stored. ended are
// arrivals of inner flows that make none by themselves.
func (w *work) cancelMembers(ctx context.Context, p *broker.Progress, bury bool) (lost []member, ended []broker.Arrival, err error) {
	id := p.Flow.ID
	const over = broker.MarkKilled | broker.MarkDropped
	if p.Marks&over != 0 && !p.Flow.Callback.IsZero() && !p.Callback.Final() {
		if lost, ended, err = w.cancel(ctx, id, []member{{p.Flow.Callback, broker.StepCallback}}, bury); err != nil {
			return nil, nil, err
		}
	}
	for from := 0; ; {
		if err := w.extendHalt(ctx); err != nil {
			return nil, nil, err
		}
		page, err := w.f.Members(ctx, id, from, broker.MaxBatch, false)
		if err != nil {
			return nil, nil, wrap("members", err)
		}
		if len(page) == 0 {
			return lost, ended, nil
		}
		var left []member
		for i, m := range page {
			if !m.State.Final() {
				left = append(left, member{m.ID, uint32(from + i)})
			}
		}
		unknown, over, err := w.cancel(ctx, id, left, bury)
		if err != nil {
			return nil, nil, err
		}
		lost, ended = append(lost, unknown...), append(ended, over...)
		from += len(page)
	}
}

// cancel cancels tasks and kills flows that are members of a flow. It returns the members that
// are not stored, and arrivals of inner flows that make none by themselves.
func (w *work) cancel(ctx context.Context, flow broker.ID, what []member, bury bool) (lost []member, ended []broker.Arrival, err error) {
	var tasks []member
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

// lostArrivals returns arrivals, as canceled, of members that will never make one.
func lostArrivals(flow broker.ID, lost []member) []broker.Arrival {
	out := make([]broker.Arrival, len(lost))
	for i, m := range lost {
		out[i] = broker.Arrival{Task: m.id, Flow: flow, Step: m.step, Outcome: broker.Outcome{
			State: broker.StateCanceled, Finished: time.Now(),
			Err: &broker.Failure{Message: "it was never stored"},
		}}
	}
	return out
}
