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

// Driver moves flows on. It has no state: copies and drivers of other
// processes do the same. Its methods may be called concurrently.
type Driver struct {
	Broker broker.Broker // does nothing unless it has broker.Flows
	Codecs []codec.Codec // that results may have, see codec.ByName; the first is that of its own tasks
	Log    *slog.Logger
	Guest  bool // it serves no queue, so it does not judge what has no seal: see mine
}

// Drain does what follows from the arrivals of a queue, until there are none.
// The empty queue stands for those where a Cancel through this broker made
// some. After an error what is left is for the next Drain.
func (d *Driver) Drain(ctx context.Context, queue string) error {
	f, ok := d.Broker.(broker.Flows)
	if !ok {
		return nil
	}
	w := &work{Driver: d, f: f}
	err := w.drain(ctx, queue)
	for w.canceled { // which has made arrivals of its own
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
	empty    []broker.ID // flows that were started and have nothing that would arrive by itself
	canceled bool        // tasks were cancelled, so there may be arrivals anywhere
	verdict  Verdict     // of a Kill; nil if nobody asks
	checked  *deed       // the flow whose record was checked last
	halted   *halt       // what is halted for the kill under way; nil if nothing is
}

// drain goes on until a page has nothing that could be done. What could not be
// done does not keep the rest from it.
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

// page does what follows from arrivals, and returns those to be confirmed.
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
			// Nobody will ever read it, and whoever waits for it is told so. What has arrived
			// would be found again and again.
			w.Log.Error("a group or pipe can't be read, so it does not go on", "flow", id.String(), "arrivals", len(flows[id]), "error", bad)
		case errors.Is(bad, errLeft):
			w.leave(id, bad)
			continue
		case bad != nil:
			err = errors.Join(err, fmt.Errorf("flow %s: %w", id, bad))
			continue
		}
		done = append(done, flows[id]...)
	}
	over, bad := w.killed(ctx, kills)
	return append(done, over...), errors.Join(err, bad)
}

// submit enqueues what tasks have submitted with their settlements, and returns
// what has been seen to.
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
			w.Log.Error("task that another one has submitted is refused", "task.id", tasks[i].ID.String(),
				"task.name", tasks[i].Name, "queue", tasks[i].Queue, "parent", tasks[i].Parent.String(), "error", bad)
		default:
			err = errors.Join(err, bad)
			continue
		}
		done = append(done, arrivals[i])
	}
	return done, err
}

// split returns the errors of the parts of a batch.
func split(err error, n int) ([]error, error) {
	var batch *broker.BatchError
	if errors.As(err, &batch) && len(batch.Errs) == n {
		return batch.Errs, nil
	}
	return make([]error, n), err
}

// advance counts members of a flow and does what follows, and what follows from
// the flows that were started by that and have nothing to wait for.
func (w *work) advance(ctx context.Context, id broker.ID, arrivals []broker.Arrival) error {
	err := w.rise(ctx, id, arrivals)
	for err == nil && len(w.empty) > 0 {
		last := len(w.empty) - 1
		id = w.empty[last]
		w.empty = w.empty[:last]
		err = w.rise(ctx, id, nil)
	}
	if err != nil {
		w.empty = w.empty[:0] // whoever does it again starts them again
	}
	return err
}

// rise counts members of a flow and does what follows, up to the outermost flow
// that ends by it.
func (w *work) rise(ctx context.Context, id broker.ID, arrivals []broker.Arrival) error {
	for {
		p, err := w.arrive(ctx, id, arrivals)
		if err != nil || p == nil {
			return err
		}
		o, err := w.follow(ctx, p, arrivals)
		if err != nil || o == nil || p.Flow.Group.IsZero() {
			return err
		}
		if p.Outcome == nil { // Another driver may have ended it, and the first outcome counts.
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

// arrive counts members. There is no progress of a flow that is not kept any
// more: nobody waits for it.
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
	// One that can never be counted must not keep the others from it. Of a flow that can't be
	// read it is not known which these are.
	switch _, err := w.f.LookupFlow(ctx, id); {
	case errors.Is(err, broker.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, wrap("look up", err)
	}
	for _, a := range arrivals {
		switch _, err := w.f.Arrive(ctx, id, []broker.Arrival{a}); {
		case errors.Is(err, broker.ErrInvalid):
			w.Log.Error("what has arrived is no member of its flow", "task.id", a.Task.String(),
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

// follow does what follows from the progress of a flow. It returns the outcome
// of one that has ended.
func (w *work) follow(ctx context.Context, p *broker.Progress, arrivals []broker.Arrival) (*broker.Outcome, error) {
	fl := &p.Flow
	dropped := p.Marks&broker.MarkDropped != 0
	killed := dropped || p.Marks&broker.MarkKilled != 0
	whole := p.Listed == fl.Size && p.Arrived() == fl.Size
	if p.Outcome == nil && !killed {
		if err := w.mine(fl); err != nil {
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
		return w.clear(ctx, p)
	case fl.ID.Kind() == broker.KindPipe:
		if p.Succeeded > 0 {
			if o, err := w.disown(ctx, p); o != nil || err != nil {
				return o, err
			}
		}
		return nil, w.nextStep(ctx, p, arrivals)
	}
	if !whole {
		return nil, nil
	}
	if !killed && (!fl.Callback.IsZero() && !p.Callback.Final() || !fl.Finalizer.IsZero() && !p.Finalizer.Final()) {
		if o, err := w.disown(ctx, p); o != nil || err != nil {
			return o, err
		}
	}
	if !fl.Callback.IsZero() && !p.Callback.Final() {
		if killed || p.Succeeded < fl.Need {
			return nil, w.drop(ctx, p, place{fl.Callback, broker.StepCallback})
		}
		return nil, w.start(ctx, fl.Callback, &upstream{w: w, flow: p})
	}
	if !fl.Finalizer.IsZero() && !p.Finalizer.Final() {
		if dropped {
			return nil, w.drop(ctx, p, place{fl.Finalizer, broker.StepFinalizer})
		}
		return nil, w.start(ctx, fl.Finalizer, nil)
	}
	o, d, err := w.outcome(ctx, p, arrivals)
	if err != nil {
		return nil, err
	}
	ended, err := w.end(ctx, d, fl.ID, o)
	if errors.Is(err, broker.ErrTooLarge) { // whatever is too large is the result
		o.Result = nil
		o.Err = unjoined(err)
		ended, err = w.end(ctx, d, fl.ID, o)
	}
	if err != nil {
		return nil, wrap("end", err)
	}
	return ended, nil
}

// end ends a flow, and returns the outcome as it is stored.
func (w *work) end(ctx context.Context, d *deed, id broker.ID, o *broker.Outcome) (*broker.Outcome, error) {
	ended, err := w.sealed(d, id, o)
	if err != nil {
		return nil, err
	}
	return ended, w.f.EndFlow(ctx, id, ended)
}

// clear cancels the members of a flow that was killed or can't succeed any more.
// It returns the outcome if the flow has ended by that: empty flows in it have no
// member whose arrival would bring a driver back to it.
func (w *work) clear(ctx context.Context, p *broker.Progress) (*broker.Outcome, error) {
	sweep := w.sweep
	if p.Marks&broker.MarkDropped != 0 { // who was to store the rest of it may be gone
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
		return nil // it began by itself, or the rest is not listed yet
	}
	next, err := w.f.Members(ctx, p.Flow.ID, p.Succeeded, 1, false)
	if err != nil || len(next) == 0 || next[0].State.Final() {
		return wrap("members", err)
	}
	return w.start(ctx, next[0].ID, &upstream{w: w, flow: p, step: p.Succeeded - 1, arrivals: arrivals})
}

// drop lets a callback or finalizer that will never run be final.
func (w *work) drop(ctx context.Context, p *broker.Progress, what place) error {
	// What a squad that does not start had not stored yet may never come.
	bury := p.Marks&broker.MarkDropped != 0
	lost, ended, err := w.cancel(ctx, p.Flow.ID, []place{what}, bury)
	if ended = append(ended, lostArrivals(p.Flow.ID, lost)...); err != nil || len(ended) == 0 {
		return err
	}
	// It is not stored, or is an empty flow: it never arrives by itself.
	return w.advance(ctx, p.Flow.ID, ended)
}

// outcomeAt returns the outcome of a member, as it is stored, and its id: from arrivals, if
// it is there.
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

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
