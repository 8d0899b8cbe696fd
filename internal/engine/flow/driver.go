package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// The main loop. Drain reads the arrivals of a queue page by page and groups them by flow. For
// each flow it counts them (arrive), acts on the new counts (follow), and confirms the
// arrivals. If a flow ends by that and is itself a member of a flow, it arrives there in the
// same way (advanceUp).
//
// An empty flow, and one whose members were all counted by a driver that died, makes no further
// arrival. A driver that starts such a flow notes it in work.empty, and advance moves it on
// before the arrival that has started it is confirmed.

// Driver moves flows on. It has no state, so copies of it, and drivers of other processes, may
// work at the same time. Its methods may be called concurrently.
type Driver struct {
	Broker broker.Broker // Drain does nothing if it does not implement broker.Flows
	// Codecs decode results, see codec.ByName. The first one encodes results for which nothing
	// else decides the codec.
	Codecs []codec.Codec
	Log    *slog.Logger
	// Guest says that the process serves no queue. Then it does not decide about flows without
	// a seal: see mayMoveOn.
	Guest bool
}

// Drain handles the arrivals of a queue until there are none. The empty queue means the queues
// in which a Cancel through this broker has made arrivals. An arrival that can't be handled is
// left for the next Drain, and does not keep Drain from the rest.
func (d *Driver) Drain(ctx context.Context, queue string) error {
	f, ok := d.Broker.(broker.Flows)
	if !ok {
		return nil
	}
	w := &work{Driver: d, f: f}
	err := w.drain(ctx, queue)
	for w.canceled { // drain has cancelled tasks, which makes arrivals in any queue
		w.canceled = false
		if bad := w.drain(ctx, ""); bad != nil {
			return errors.Join(err, bad)
		}
	}
	return err
}

// work is a Drain or a Kill under way.
type work struct {
	*Driver
	f        broker.Flows
	empty    []broker.ID  // flows that were started and will make no arrival by themselves
	canceled bool         // tasks were cancelled, so any queue may have arrivals
	verdict  Verdict      // the callback of a Kill; may be nil
	checked  *checkedFlow // the flow whose record was checked last
	halted   *halt        // the halt of the kill under way; nil if there is none
}

// drain handles pages of arrivals until a page has nothing that could be handled. An arrival
// that fails does not keep the rest from being handled.
func (w *work) drain(ctx context.Context, queue string) error {
	for {
		page, err := w.f.Arrivals(ctx, queue, broker.MaxBatch)
		if err != nil || len(page) == 0 {
			return wrap("arrivals", err)
		}
		done, bad := w.page(ctx, page)
		if len(done) == 0 {
			return bad
		}
		if err := w.f.Confirm(ctx, done); err != nil {
			return errors.Join(bad, wrap("confirm", err))
		}
	}
}

// page handles a page of arrivals, and returns those that can be confirmed.
func (w *work) page(ctx context.Context, page []broker.Arrival) (done []broker.Arrival, err error) {
	var submits, kills []broker.Arrival
	flows := make(map[broker.ID][]broker.Arrival)
	var order []broker.ID
	for _, a := range page {
		switch {
		case a.Submit != nil:
			submits = append(submits, a)
			continue
		case a.Kill:
			kills = append(kills, a)
			continue
		case flows[a.Flow] == nil:
			order = append(order, a.Flow)
		}
		flows[a.Flow] = append(flows[a.Flow], a)
	}
	done, err = w.submit(ctx, submits)
	for _, id := range order {
		switch bad := w.advance(ctx, id, flows[id]); {
		case errors.Is(bad, broker.ErrMalformed):
			// Nobody will ever read it, and a wait for it gets an error that says so. If its
			// arrivals were not confirmed, they would be found again and again.
			w.Log.Error("a group or pipe can't be read, so it does not go on", "flow", id.String(), "arrivals", len(flows[id]), "error", bad)
		case errors.Is(bad, errLeft):
			w.logLeft(id, bad)
			continue
		case bad != nil:
			err = errors.Join(err, fmt.Errorf("flow %s: %w", id, bad))
			continue
		}
		done = append(done, flows[id]...)
	}
	over, bad := w.finishKills(ctx, kills)
	return append(done, over...), errors.Join(err, bad)
}

// submit enqueues tasks that other tasks have submitted with their settlements. It returns the
// arrivals that are done, including those of tasks that are refused for good.
func (w *work) submit(ctx context.Context, arrivals []broker.Arrival) (done []broker.Arrival, err error) {
	if len(arrivals) == 0 {
		return nil, nil
	}
	tasks := make([]*broker.Task, len(arrivals))
	for i := range arrivals {
		tasks[i] = arrivals[i].Submit
	}
	errs, err := split(w.Broker.Enqueue(ctx, tasks), len(tasks))
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	for i, bad := range errs {
		var dup *broker.DuplicateError
		switch {
		case bad == nil:
		case errors.As(bad, &dup) && dup.Holder == dup.ID:
			// It was stored before, and may have got its arguments since.
		case errors.Is(bad, broker.ErrInvalid), errors.Is(bad, broker.ErrDuplicate), errors.Is(bad, broker.ErrMalformed):
			w.Log.Error("a task that another task has submitted is refused", "task.id", tasks[i].ID.String(),
				"task.name", tasks[i].Name, "queue", tasks[i].Queue, "parent", tasks[i].Parent.String(), "error", bad)
		default:
			err = errors.Join(err, bad)
			continue
		}
		done = append(done, arrivals[i])
	}
	return done, err
}

// split returns the errors of the n parts of a batch, all nil if there is no batch error for
// them. Another error stays as it is.
func split(err error, n int) ([]error, error) {
	var batch *broker.BatchError
	if errors.As(err, &batch) && len(batch.Errs) == n {
		return batch.Errs, nil
	}
	return make([]error, n), err
}

// advance counts members of a flow and acts on the new counts. It also moves on the flows that
// were started by that and will make no arrival.
func (w *work) advance(ctx context.Context, id broker.ID, arrivals []broker.Arrival) error {
	err := w.advanceUp(ctx, id, arrivals)
	for err == nil && len(w.empty) > 0 {
		last := len(w.empty) - 1
		id = w.empty[last]
		w.empty = w.empty[:last]
		err = w.advanceUp(ctx, id, nil)
	}
	if err != nil {
		w.empty = w.empty[:0] // the next try starts them again
	}
	return err
}

// advanceUp counts members of a flow and acts on the new counts. If the flow has ended, it goes
// on with the flow around it, and so on.
func (w *work) advanceUp(ctx context.Context, id broker.ID, arrivals []broker.Arrival) error {
	for {
		p, err := w.arrive(ctx, id, arrivals)
		if err != nil || p == nil {
			return err
		}
		o, err := w.follow(ctx, p, arrivals)
		if err != nil || o == nil || p.Flow.Group.IsZero() {
			return err
		}
		if p.Outcome == nil {
			// Another driver may have ended it at the same time, and the first outcome counts.
			now, err := w.f.LookupFlow(ctx, id)
			switch {
			case err == nil && now.Outcome != nil:
				o = now.Outcome
			case err != nil && !errors.Is(err, broker.ErrNotFound):
				return wrap("look up", err)
			}
		}
		arrivals = []broker.Arrival{{Task: id, Flow: p.Flow.Group, Step: p.Flow.Step, Outcome: *o}}
		id = p.Flow.Group
	}
}

// arrive counts members. It returns nil for a flow that is not stored any more: nobody waits
// for it.
func (w *work) arrive(ctx context.Context, id broker.ID, arrivals []broker.Arrival) (*broker.Progress, error) {
	p, err := w.f.Arrive(ctx, id, arrivals)
	switch {
	case err == nil:
		return p, nil
	case errors.Is(err, broker.ErrNotFound):
		return nil, nil
	case !errors.Is(err, broker.ErrInvalid):
		return nil, wrap("arrive", err)
	}
	// One of the arrivals can never be counted. It must not keep the others from being counted,
	// so they are counted one by one. If the flow itself can't be read, it is unknown which one
	// is wrong.
	switch _, err := w.f.LookupFlow(ctx, id); {
	case errors.Is(err, broker.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, wrap("look up", err)
	}
	for _, a := range arrivals {
		switch _, err := w.f.Arrive(ctx, id, []broker.Arrival{a}); {
		case errors.Is(err, broker.ErrInvalid):
			w.Log.Error("an arrival does not belong to its flow and is dropped", "task.id", a.Task.String(),
				"flow", id.String(), "step", a.Step, "error", err)
		case err != nil && !errors.Is(err, broker.ErrNotFound):
			return nil, wrap("arrive", err)
		}
	}
	p, err = w.f.LookupFlow(ctx, id)
	if errors.Is(err, broker.ErrNotFound) {
		return nil, nil
	}
	return p, wrap("look up", err)
}

// follow acts on the counts of a flow. If the flow has ended, it returns the outcome. arrivals
// are those that have just been counted; their outcomes need not be fetched.
func (w *work) follow(ctx context.Context, p *broker.Progress, arrivals []broker.Arrival) (*broker.Outcome, error) {
	fl := &p.Flow
	dropped := p.Marks&broker.MarkDropped != 0
	killed := dropped || p.Marks&broker.MarkKilled != 0
	whole := p.Listed == fl.Size && p.Arrived() == fl.Size
	if p.Outcome == nil && !killed {
		if err := w.mayMoveOn(fl); err != nil {
			return nil, err
		}
	}
	switch {
	case p.Outcome != nil:
		return p.Outcome, nil
	case whole:
	case killed || p.Doomed():
		if p.Marks&broker.MarkSwept != 0 {
			return nil, nil
		}
		return w.cancelRest(ctx, p)
	case fl.ID.Kind() == broker.KindPipe:
		if p.Succeeded > 0 {
			if o, err := w.failForged(ctx, p); o != nil || err != nil {
				return o, err
			}
		}
		return nil, w.nextStep(ctx, p, arrivals)
	}
	if !whole {
		return nil, nil
	}
	if !killed && (!fl.Callback.IsZero() && !p.Callback.Final() || !fl.Finalizer.IsZero() && !p.Finalizer.Final()) {
		if o, err := w.failForged(ctx, p); o != nil || err != nil {
			return o, err
		}
	}
	if !fl.Callback.IsZero() && !p.Callback.Final() {
		if killed || p.Succeeded < fl.Quorum {
			return nil, w.cancelFollower(ctx, p, member{fl.Callback, broker.StepCallback})
		}
		return nil, w.start(ctx, fl.Callback, &upstream{w: w, flow: p})
	}
	if !fl.Finalizer.IsZero() && !p.Finalizer.Final() {
		if dropped {
			return nil, w.cancelFollower(ctx, p, member{fl.Finalizer, broker.StepFinalizer})
		}
		return nil, w.start(ctx, fl.Finalizer, nil)
	}
	o, d, err := w.outcome(ctx, p, arrivals)
	if err != nil {
		return nil, err
	}
	ended, err := w.end(ctx, d, fl.ID, o)
	if errors.Is(err, broker.ErrTooLarge) { // only the result can be too large
		o.Result = nil
		o.Err = uncombined(err)
		ended, err = w.end(ctx, d, fl.ID, o)
	}
	if err != nil {
		return nil, wrap("end", err)
	}
	return ended, nil
}

// end ends a flow, and returns the outcome as it is stored.
func (w *work) end(ctx context.Context, d *checkedFlow, id broker.ID, o *broker.Outcome) (*broker.Outcome, error) {
	ended, err := w.sealed(d, id, o)
	if err != nil {
		return nil, err
	}
	return ended, w.f.EndFlow(ctx, id, ended)
}

// cancelRest cancels the rest of a flow that was killed or can't succeed any more. If the flow
// has ended by that, it returns the outcome: members that are empty flows make no arrival that
// would bring a driver back.
func (w *work) cancelRest(ctx context.Context, p *broker.Progress) (*broker.Outcome, error) {
	sweep := w.sweep
	if p.Marks&broker.MarkDropped != 0 {
		// The process that was storing the rest of it may have died.
		sweep = w.buryDropped
	}
	err := sweep(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := w.f.MarkFlow(ctx, p.Flow.ID, broker.MarkSwept); err != nil {
		return nil, wrap("mark", err)
	}
	if p, err = w.arrive(ctx, p.Flow.ID, nil); err != nil || p == nil {
		return nil, err
	}
	return w.follow(ctx, p, nil)
}

// nextStep starts the step of a pipe that comes after those that succeeded.
func (w *work) nextStep(ctx context.Context, p *broker.Progress, arrivals []broker.Arrival) error {
	if p.Succeeded == 0 || p.Succeeded >= p.Listed {
		return nil // the first step needs no start, or the next one is not listed yet
	}
	next, err := w.f.Members(ctx, p.Flow.ID, p.Succeeded, 1, false)
	if err != nil || len(next) == 0 || next[0].State.Final() {
		return wrap("members", err)
	}
	return w.start(ctx, next[0].ID, &upstream{w: w, flow: p, step: p.Succeeded - 1, arrivals: arrivals})
}

// cancelFollower cancels a callback or finalizer that is never to run.
func (w *work) cancelFollower(ctx context.Context, p *broker.Progress, what member) error {
	// A squad that does not start may never have been stored as a whole.
	bury := p.Marks&broker.MarkDropped != 0
	lost, ended, err := w.cancel(ctx, p.Flow.ID, []member{what}, bury)
	if ended = append(ended, lostArrivals(p.Flow.ID, lost)...); err != nil || len(ended) == 0 {
		return err
	}
	// It is not stored, or is an empty flow, so it makes no arrival by itself.
	return w.advance(ctx, p.Flow.ID, ended)
}

// outcomeAt returns the id and the stored outcome of a member, from arrivals if it is among
// them.
func (w *work) outcomeAt(ctx context.Context, flow broker.ID, step int, arrivals []broker.Arrival) (broker.ID, *broker.Outcome, error) {
	i := slices.IndexFunc(arrivals, func(a broker.Arrival) bool { return a.Step == uint32(step) })
	if i >= 0 {
		return arrivals[i].Task, &arrivals[i].Outcome, nil
	}
	m, err := w.f.Members(ctx, flow, step, 1, true)
	if err != nil {
		return broker.ID{}, nil, wrap("members", err)
	}
	if len(m) == 0 || m[0].Outcome == nil {
		return broker.ID{}, nil, fmt.Errorf("member %d has no outcome", step)
	}
	return m[0].ID, m[0].Outcome, nil
}

// wrap adds the name of a failed action to an error. It returns nil for nil.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
