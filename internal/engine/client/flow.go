package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/flow"
	"github.com/go-arbiter/arbiter/internal/engine/seal"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// Sending a pipe or group takes several requests, and the sender may die between any two of
// them. So nothing may run before everything that follows from it is stored:
//
//  1. The flow records are stored, outer ones before those inside them.
//  2. The tasks that wait for others are stored, blocked.
//  3. Empty flows that wait for nothing begin, because no member of theirs will arrive.
//  4. The tasks that may run at once are stored last.
//
// Every step can be repeated. If a call fails half-way, it is sent again as a whole, with the
// same ids. This file plans all of that; flow_send.go does it.

// sendFlows sends the calls that are pipes or groups and stores their results in s.flows. They
// are planned in order, because ids may depend on the order, and are then sent concurrently.
func (s *submission) sendFlows(ctx context.Context, c *Client, from *Child) {
	var plans []*flowPlan
	var positions []int
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
			plans, positions = append(plans, p), append(positions, i)
		}
	}
	// Each plan has ids of its own from here on, so their order does not matter any more.
	errs := concurrently(len(plans), func(i int) error { return plans[i].run(ctx) })
	for i, err := range errs {
		s.flows[positions[i]] = err
	}
}

// flowErr returns the result of calls[i], and whether it was a pipe or group that sendFlows
// handled.
func (s *submission) flowErr(i int) (err error, sent bool) { //nolint:revive // the error of the call, not of this
	err, sent = s.flows[i]
	return err, sent
}

// SubmitWatched sends a pipe or group. Unlike Submit, it also has the outcomes of the members,
// the callback and the finalizer pushed to this client. The error is a [*task.SubmitError].
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

// Driver returns a driver that moves flows on for this client.
func (c *Client) Driver() *flow.Driver {
	return &flow.Driver{Broker: c.b, Codecs: c.codecs, Log: c.log, Guest: true}
}

// flowPlan is a pipe or group that is to be sent, with everything in it. flows[0] is the
// outermost one.
type flowPlan struct {
	c     *Client
	b     broker.Flows
	from  *Child
	now   time.Time
	watch bool // outcomes of the members of flows[0] are pushed, too
	again bool // it may have been sent before
	// patient says that a task of the plan waits for room in a full queue, and so all of them do.
	patient bool
	flows   []plannedFlow
	tasks   []plannedTask
	// refused has the tasks that the broker will never store, and why the reason for the first
	// of them.
	refused []*broker.Task
	why     error
	// parts counts the requests so far with tasks that may run at once.
	parts int
}

// plannedFlow is one flow of a plan. A parent precedes its children in flowPlan.flows.
type plannedFlow struct {
	broker.Flow
	members []broker.ID
	parent  int  // index in flowPlan.flows; -1 for the outermost
	blocked bool // it waits for something to end before it
	final   bool // its members are the finalizers of its parent
}

// plannedTask is one task of a plan. Its record is made when it is sent, because a plan may
// have a great many tasks.
type plannedTask struct {
	req     *request.Request
	flow    int // index in flowPlan.flows
	step    uint32
	blocked bool
	// timeout is set for a finalizer, which runs after that time in any case; 0 is none.
	timeout time.Duration
	final   bool // it is a finalizer
}

// maxDepth bounds how deeply flows may be nested.
const maxDepth = 100

// plan checks a call that is a pipe or group, and gives ids to everything in it.
func (c *Client) plan(from *Child, req *request.Request, watch bool) (*flowPlan, error) {
	flows, err := broker.FlowsOf(c.b, "a "+req.Name())
	if err != nil {
		return nil, err
	}
	p := &flowPlan{c: c, b: flows, from: from, now: time.Now(), watch: watch}
	// A request that has an id was sent before, at least in part.
	p.again = from.repeats() || !req.ID().IsZero()
	if err := p.add(req, -1, 0, false, 0); err != nil {
		return nil, err
	}
	p.link()
	if err := p.seal(); err != nil {
		return nil, err
	}
	if err := from.announce(req); err != nil {
		return nil, err
	}
	return p, nil
}

// run sends a plan. If the flow was killed or has failed meanwhile, or if it can't become
// complete, run ends the stored part of it. An error that wraps ErrIndeterminate says that a
// part may be stored.
func (p *flowPlan) run(ctx context.Context) error {
	c, root := p.c, p.flows[0].ID
	expected := p.expect()
	// The table is told before and after, as for single tasks.
	stored, err := p.send(ctx)
	c.mu.Lock()
	now := time.Now()
	for _, id := range expected {
		c.table.sent(id, stored, now)
	}
	c.schedule(now)
	c.mu.Unlock()
	if p.why != nil { // it can never become complete
		if killed := p.endIncomplete(ctx); killed != nil {
			err = errors.Join(err, fmt.Errorf("%s %s is stored in part and could not be ended: %w", KindName(root), root, killed))
		}
		return err
	}
	switch {
	case errors.Is(err, errUnwanted):
		err = p.abandon(ctx)
	case err == nil && (p.again || p.parts > 1):
		// It may have been killed or have failed while it was sent; then members that were
		// stored later are still to be cancelled.
		err = c.Driver().Sweep(ctx, root)
	}
	if err != nil && stored && !errors.Is(err, broker.ErrIndeterminate) {
		err = fmt.Errorf("%w: stored in part: %w", broker.ErrIndeterminate, err)
	}
	return err
}

// add plans a request as member number step of the flow at index parent. blocked says that it
// waits for something before it.
func (p *flowPlan) add(req *request.Request, parent int, step uint32, blocked bool, depth int) error {
	if req.Flow() != nil {
		return p.addFlow(req, parent, step, blocked, depth)
	}
	t, err := p.from.prepare(req, p.c.codec, p.now)
	if err != nil {
		return err
	}
	if err := p.c.checkLane(t); err != nil {
		return err
	}
	if err := t.Check(p.c.limits); err != nil {
		return err
	}
	switch {
	// For a blocked task the delay would be the time after which it runs in any case.
	case blocked && t.Delay > 0:
		return fmt.Errorf("task %s: %w: a task that waits for others can't have a delay", t.Name, broker.ErrInvalid)
	case !blocked && t.Flow.Upstream != "":
		return fmt.Errorf("task %s: %w: no task before it has a result that it could get", t.Name, broker.ErrInvalid)
	}
	p.tasks = append(p.tasks, plannedTask{req: req, flow: parent, step: step, blocked: blocked})
	return nil
}

// addFlow plans a pipe or group and everything in it.
func (p *flowPlan) addFlow(req *request.Request, parent int, step uint32, blocked bool, depth int) error {
	if err := req.Check(); err != nil {
		return err
	}
	if depth == maxDepth {
		return fmt.Errorf("%s: %w: flows are nested more than %d deep", req.Name(), broker.ErrInvalid, maxDepth)
	}
	f := req.Flow()
	at := len(p.flows)
	p.flows = append(p.flows, plannedFlow{}) // reserves the index, before those of inner flows
	// Members are planned first, since the id of a flow may be derived from theirs.
	members := make([]broker.ID, len(f.Members))
	for i, m := range f.Members {
		waits := blocked || i > 0 && f.Kind == broker.KindPipe
		if err := p.add(m, at, uint32(i), waits, depth+1); err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
		members[i] = m.ID()
	}
	o := plannedFlow{parent: parent, blocked: blocked, members: members, Flow: broker.Flow{
		Size: len(members), Quorum: f.Quorum, Step: step, Retention: req.Settings().Retention,
	}}
	// A pipe needs all of its steps.
	if f.Kind == broker.KindPipe {
		o.Quorum = o.Size
	}
	if parent >= 0 { // the parent asks for its outcome
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

// addFinalizers plans the finalizer of a flow. If there are several, they are a group in the
// position of the finalizer that succeeds in any case.
func (p *flowPlan) addFinalizers(f *request.Flow, at, depth int, keep time.Duration) error {
	// The option for a finalizer was given once, or several times: then the finalizers are
	// members of a group.
	finals, timeouts := []*request.Request{f.Finalizer}, []time.Duration{f.Timeout}
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
	// add appends the finalizers behind these.
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
		// The status of the parent lists them.
		p.flows[flow].Retention = max(p.flows[flow].Retention, keep)
	}
	return nil
}

// link sets the parent of each flow, and the inbox of flows whose outcomes are pushed. All
// flows have ids now.
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

// seal seals all flows and checks the sealed tasks, if the codec seals. A seal includes ids and
// positions, so it comes after link.
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
		if err := t.Check(p.c.limits); err != nil { // the seal makes it longer
			return err
		}
	}
	return nil
}

// watched reports whether the outcomes of the members of a flow are pushed.
func (p *flowPlan) watched(flow int) bool { return p.watch && flow == 0 }

// expect enters in the table the ids whose outcomes will be pushed, and returns them. That
// happens before the first request because a push may arrive before the reply.
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
