package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/flow"
	"github.com/go-arbiter/arbiter/internal/seal"
	"github.com/go-arbiter/arbiter/task"
)

// Sending a pipe or group. Nothing may run before all that follows from it is
// stored: first the flows, the outer ones before those in them; then the tasks
// that wait; then the empty flows begin, from which nothing else would follow;
// last come those tasks that may run at once. Each step can be repeated, so a
// call whose sending has failed half-way is sent again as a whole.

// sendFlows sends those of the calls that are pipes or groups. They are planned in
// order, since ids may depend on that, and sent side by side.
func (s *submission) sendFlows(ctx context.Context, c *Client, from *Child) {
	var plans []*flowPlan
	var places []int
	for i, call := range s.calls {
		req := requestOf(call)
		if req == nil || req.Flow() == nil {
			continue
		}
		if s.flows == nil {
			s.flows = make(map[int]error)
		}
		p, err := c.plan(from, req, false)
		if s.flows[i] = err; err == nil {
			plans, places = append(plans, p), append(places, i)
		}
	}
	errs := sideBySide(len(plans), func(i int) error { return plans[i].run(ctx) })
	for i, err := range errs {
		s.flows[places[i]] = err
	}
}

// flowErr returns what came of a call that was sent as a flow.
func (s *submission) flowErr(i int) (err error, sent bool) { //nolint:staticcheck // the error of the call, not of this
	err, sent = s.flows[i]
	return err, sent
}

// SubmitWatched sends a pipe or group of which each member's outcome is pushed,
// too, and those of its callback and finalizer.
func (c *Client) SubmitWatched(ctx context.Context, call task.Bound) error {
	err := c.enter(ctx)
	req := requestOf(call)
	if err == nil {
		defer c.sending.Done()
		var p *flowPlan
		if p, err = c.plan(nil, req, true); err == nil {
			err = p.run(ctx)
		}
	}
	if err == nil {
		return nil
	}
	return &task.SubmitError{Total: 1, Failed: []task.FailedCall{{ID: req.ID(), Name: req.Name(), Err: err}}}
}

// Driver returns what moves flows on.
func (c *Client) Driver() *flow.Driver {
	return &flow.Driver{Broker: c.b, Codecs: c.codecs, Log: c.log, Guest: true}
}

// flowPlan is a flow to be sent, with all that is in it.
type flowPlan struct {
	c       *Client
	b       broker.Flows
	from    *Child
	now     time.Time
	watch   bool
	again   bool // it may have been sent before
	flows   []openFlow
	tasks   []flowTask
	refused []*broker.Task // what can never be stored
	why     error          // the first reason
	parts   int            // in how many requests those tasks went that may run at once
}

// openFlow is one of the flows.
type openFlow struct {
	broker.Flow
	members []broker.ID
	parent  int  // in flows; -1 is none
	blocked bool // something is before it
	final   bool // its members are the finalizers of the flow around it
}

// flowTask is one of the tasks. Its record is made when it is sent: there can be
// many.
type flowTask struct {
	req     *task.Request
	flow    int
	step    uint32
	blocked bool
	timeout time.Duration // after which it runs all the same
	final   bool          // it is a finalizer
}

// maxDepth bounds how deep flows may be in each other.
const maxDepth = 100

// plan prepares a call that is a pipe or group.
func (c *Client) plan(from *Child, req *task.Request, watch bool) (*flowPlan, error) {
	flows, err := broker.FlowsOf(c.b, "a "+req.Name())
	if err != nil {
		return nil, err
	}
	p := &flowPlan{c: c, b: flows, from: from, now: time.Now(), watch: watch}
	p.again = from.repeats() || !req.ID().IsZero()
	if err := p.add(req, -1, 0, false, 0); err != nil {
		return nil, err
	}
	p.link()
	if err := p.seal(); err != nil {
		return nil, err
	}
	if err := from.sends(req); err != nil {
		return nil, err
	}
	return p, nil
}

// run sends what was planned.
func (p *flowPlan) run(ctx context.Context) error {
	c, root := p.c, p.flows[0].ID
	expected := p.expect()
	stored, err := p.send(ctx)
	c.mu.Lock()
	now := time.Now()
	for _, id := range expected {
		c.table.sent(id, stored, now)
	}
	c.schedule(now)
	c.mu.Unlock()
	if p.why != nil { // it can't become whole
		if killed := p.bury(ctx); killed != nil {
			err = errors.Join(err, fmt.Errorf("%s %s is left half-stored: %w", KindName(root), root, killed))
		}
		return err
	}
	switch {
	case errors.Is(err, errOver):
		err = p.abandon(ctx)
	case err == nil && (p.again || p.parts > 1):
		// Meanwhile it may have been killed, or have failed.
		err = c.Driver().Sweep(ctx, root)
	}
	if err != nil && stored && !errors.Is(err, broker.ErrIndeterminate) {
		err = fmt.Errorf("%w: stored in part: %w", broker.ErrIndeterminate, err)
	}
	return err
}

// add plans a request at a place of a flow. Blocked says that something is
// before it.
func (p *flowPlan) add(req *task.Request, parent int, step uint32, blocked bool, depth int) error {
	if req.Flow() != nil {
		return p.addFlow(req, parent, step, blocked, depth)
	}
	t, err := p.from.prepare(req, p.c.codec, p.now)
	if err != nil {
		return err
	}
	if err := t.Check(p.c.limits); err != nil {
		return err
	}
	switch {
	case blocked && t.Delay > 0:
		return fmt.Errorf("task %s: %w: a task that waits for others can't have a delay", t.Name, broker.ErrInvalid)
	case !blocked && t.Upstream != "":
		return fmt.Errorf("task %s: %w: nothing is before it whose result it could get", t.Name, broker.ErrInvalid)
	}
	p.tasks = append(p.tasks, flowTask{req: req, flow: parent, step: step, blocked: blocked})
	return nil
}

func (p *flowPlan) addFlow(req *task.Request, parent int, step uint32, blocked bool, depth int) error {
	if err := req.Check(); err != nil {
		return err
	}
	if depth == maxDepth {
		return fmt.Errorf("%s: %w: more than %d flows in each other", req.Name(), broker.ErrInvalid, maxDepth)
	}
	f := req.Flow()
	at := len(p.flows)
	p.flows = append(p.flows, openFlow{}) // before those in it
	members := make([]broker.ID, len(f.Members))
	for i, m := range f.Members {
		waits := blocked || i > 0 && f.Kind == broker.KindPipe
		if err := p.add(m, at, uint32(i), waits, depth+1); err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
		members[i] = m.ID()
	}
	o := openFlow{parent: parent, blocked: blocked, members: members, Flow: broker.Flow{
		Size: len(members), Need: f.Need, Step: step, Retention: req.Settings().Retention,
	}}
	if f.Kind == broker.KindPipe {
		o.Need = o.Size
	}
	if parent >= 0 { // its outcome is asked for until the outer one has it
		o.Retention = max(o.Retention, broker.DefaultRetention)
	}
	if f.Callback != nil {
		if err := p.add(f.Callback, at, broker.StepCallback, true, depth+1); err != nil {
			return fmt.Errorf("callback: %w", err)
		}
		o.Callback = f.Callback.ID()
	}
	if f.Finalizer != nil {
		if err := p.addFinalizers(f, at, depth+1, o.Retention); err != nil {
			return fmt.Errorf("finalizer: %w", err)
		}
		o.Finalizer = f.Finalizer.ID()
	}
	var newID func(broker.Kind) broker.ID
	if p.from != nil {
		newID = func(kind broker.Kind) broker.ID { return p.from.flowID(kind, members, o.Callback, o.Finalizer) }
	}
	o.ID = req.FlowID(newID)
	p.flows[at] = o
	return nil
}

// addFinalizers plans the finalizer of a flow, or several of them: a group that waits
// for nobody's success, and is in the finalizer's place.
func (p *flowPlan) addFinalizers(f *task.Flow, at, depth int, keep time.Duration) error {
	finals, timeouts := []*task.Request{f.Finalizer}, []time.Duration{f.Timeout}
	if g := f.Finalizer.Flow(); g != nil && len(f.Timeouts) > 0 {
		finals, timeouts = g.Members, f.Timeouts
	}
	for i, req := range finals {
		switch {
		case req.Flow() != nil:
			return fmt.Errorf("%w: a %s; a finalizer is a single task, and the option can be given several times", broker.ErrInvalid, req.Name())
		case req.Upstream() != "":
			return fmt.Errorf("task %s: %w: a finalizer gets no result", req.Name(), broker.ErrInvalid)
		case i >= len(timeouts):
			return fmt.Errorf("%w: %d finalizers with %d timeouts", broker.ErrInvalid, len(finals), len(timeouts))
		}
	}
	flow, first := len(p.flows), len(p.tasks)
	if err := p.add(f.Finalizer, at, broker.StepFinalizer, true, depth); err != nil {
		return err
	}
	for i := range p.tasks[first:] {
		ft := &p.tasks[first+i]
		ft.timeout, ft.final = timeouts[i], true
	}
	if flow < len(p.flows) {
		p.flows[flow].final = true
		p.flows[flow].Retention = max(p.flows[flow].Retention, keep) // the status of the outer one lists them
	}
	return nil
}

// link tells each flow in which it is, now that all have ids.
func (p *flowPlan) link() {
	for i := range p.flows {
		if up := p.flows[i].parent; up >= 0 {
			p.flows[i].Group = p.flows[up].ID
		}
		if i == 0 || p.watched(p.flows[i].parent) {
			p.flows[i].Inbox = p.c.inbox.id
		}
	}
}

// seal seals all that is sent, if the codec does, now that all have their ids and places.
func (p *flowPlan) seal() error {
	s := seal.Of(p.c.codec)
	if s == nil {
		return nil
	}
	for i := range p.flows {
		f := &p.flows[i]
		if err := seal.Flow(s, &f.Flow, f.members); err != nil {
			return fmt.Errorf("%s: %w", KindName(f.ID), err)
		}
	}
	for i := range p.tasks {
		t, err := p.record(&p.tasks[i])
		if err != nil {
			return err
		}
		if err := t.Check(p.c.limits); err != nil { // with its seal it is longer
			return err
		}
	}
	return nil
}

// watched reports whether the outcomes of the members of a flow are pushed.
func (p *flowPlan) watched(flow int) bool { return p.watch && flow == 0 }

// expect notes whose outcomes will be pushed. What comes back may be faster than
// the reply.
func (p *flowPlan) expect() []broker.ID {
	ids := []broker.ID{p.flows[0].ID}
	if p.watch {
		ids = append(ids, p.flows[0].members...)
		for _, id := range []broker.ID{p.flows[0].Callback, p.flows[0].Finalizer} {
			if !id.IsZero() {
				ids = append(ids, id)
			}
		}
	}
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		c.table.expect(id, "", "", p.again, p.now)
	}
	c.schedule(p.now)
	return ids
}
