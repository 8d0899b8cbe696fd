package arbiter

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/client"
	"github.com/go-arbiter/arbiter/task"
)

// GroupOption changes a group; see [Arbiter.Group]. Of an option that is given
// twice the later one counts, unless it says otherwise.
type GroupOption interface {
	SquadOption
	applyGroup(*groupConfig)
}

type groupConfig struct {
	task.GroupSettings
	finalizers []*task.Request
	timeouts   []time.Duration
	opts       []task.Option
	err        error // the first one
}

func (c *groupConfig) fail(format string, args ...any) {
	c.err = cmp.Or(c.err, fmt.Errorf("%w option: "+format, append([]any{broker.ErrInvalid}, args...)...))
}

// callback sets the callback, of which there is one.
func (c *groupConfig) callback(req *task.Request, none string) {
	switch {
	case req == nil:
		c.fail("%s", none)
	case c.Callback != nil:
		c.fail("a second callback, %s after %s: a group has one; "+
			"put several calls together with task.All or task.Collect, and several steps with task.Fork", req.Name(), c.Callback.Name())
	}
	c.Callback = req
}

// settle returns what the options come to for a group of so many members.
func (c *groupConfig) settle() (task.GroupSettings, error) {
	s := c.GroupSettings
	switch len(c.finalizers) {
	case 0:
	case 1:
		s.Finalizer, s.Timeout = c.finalizers[0], c.timeouts[0]
	default:
		s.Finalizer, s.Timeouts = task.NewGroup(c.finalizers, task.GroupSettings{}), c.timeouts
	}
	return s, c.err
}

type groupFunc func(*groupConfig)

func (f groupFunc) applyGroup(c *groupConfig) { f(c) }

// Callback starts a call once, when all members are done and as many of them
// have succeeded as must: all, unless [Need] or [CollectAll] says otherwise. It
// gets its own arguments only; see [CallbackStep] and [GroupThen] for one that
// takes the results. A callback that will never run is canceled, and the group's
// [Status] says why. The default is none.
//
// A group has one callback, which may be a group itself: a second one, by Callback,
// [CallbackStep] or [GroupThen], is an error that wraps [task.ErrInvalid]. Put
// several together with [task.All], if the group is to fail with the first of them
// that fails, or with [task.Collect], if each is to run whatever the others do.
func Callback(call task.Bound) GroupOption {
	return groupFunc(func(c *groupConfig) { c.callback(requestOf(call), "Callback of no call") })
}

// CallbackStep is [Callback] for a step that takes the results of all members,
// in the order given: nil for those that did not succeed.
func CallbackStep[X any](step task.Step[[]any, X]) GroupOption {
	return callbackStep(step.Unbound())
}

func callbackStep(req *task.Request) GroupOption {
	return groupFunc(func(c *groupConfig) { c.callback(req, "a callback that is no step") })
}

// Finalizer starts a call last, always: whether members have succeeded, failed,
// or were killed, after them and the callback. If timeout is not 0 it starts no
// later than that after the group was sent, whatever the others do then. It is a
// single task. The default is none.
//
// Given several times, all of them run, in any order, whatever becomes of the
// others, each with its own timeout. The group ends when all are done.
func Finalizer(call task.Bound, timeout time.Duration) GroupOption {
	return groupFunc(func(c *groupConfig) {
		req := requestOf(call)
		if req == nil {
			c.fail("Finalizer of no call")
		}
		c.finalizers, c.timeouts = append(c.finalizers, req), append(c.timeouts, timeout)
	})
}

// Need is how many members must succeed. Once fewer can, the others are
// cancelled, and the group fails. The default is all of them: the first failure
// ends the group.
func Need(n int) GroupOption {
	return groupFunc(func(c *groupConfig) { c.Need = n })
}

// CollectAll is [Need] of 0: no failure ends the group, and the callback runs
// when all members are done, whatever became of them.
func CollectAll() GroupOption { return Need(0) }

// GroupRetention is how long a group is kept once it has ended. The default is
// an hour.
func GroupRetention(d time.Duration) GroupOption {
	return groupFunc(func(c *groupConfig) { c.opts = append(c.opts, task.Retention(d)) })
}

func requestOf(call task.Bound) *task.Request {
	if call == nil {
		return nil
	}
	return call.Request()
}

// Group is a group that was sent. It lives in the broker: whoever settles its
// last member moves it on, and it needs no process to remember it.
type Group struct {
	flowHandle
	callback, finalizer task.ID
}

// Group sends calls as a group: in any order, with one id. The calls are of any
// result types, and can be pipes and groups themselves; the group's members are
// copies of them, with ids of their own. See [GroupOf] for calls of one result
// type.
//
// A group of no calls is a loop over an empty list: it succeeds at once with the
// empty list, and its callback, which gets that, and its finalizer run.
//
// If sending fails, the error is a [*task.SubmitError], and the group is there
// all the same: [Group.Send] sends it again. One that wraps [task.ErrInvalid] or
// [task.ErrDuplicate] says that a call can't be stored; what was stored before
// is killed.
func (a *Arbiter) Group(ctx context.Context, calls []task.Bound, opts ...GroupOption) (*Group, error) {
	cfg := groupConfig{GroupSettings: task.GroupSettings{Need: len(calls)}}
	for _, o := range opts {
		if o != nil {
			o.applyGroup(&cfg)
		}
	}
	settings, err := cfg.settle()
	if err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	members := make([]*task.Request, len(calls))
	for i, call := range calls {
		members[i] = requestOf(call)
	}
	req := task.NewGroup(members, settings, cfg.opts...)
	g := &Group{flowHandle: flowHandle{a: a, req: req}}
	err = g.Send(ctx)
	f := req.Flow()
	g.callback, g.finalizer = idOf(f.Callback), idOf(f.Finalizer)
	return g, err
}

func idOf(req *task.Request) task.ID {
	if req == nil {
		return task.ID{}
	}
	return req.ID()
}

// FindGroup returns a group or pipe that was sent before, perhaps by another
// process. The error wraps [task.ErrNotFound] if it is unknown.
func (a *Arbiter) FindGroup(ctx context.Context, id task.ID) (*Group, error) {
	p, err := a.lookupFlow(ctx, id)
	if err != nil {
		return nil, err
	}
	return &Group{flowHandle: flowHandle{a: a, id: id}, callback: p.Flow.Callback, finalizer: p.Flow.Finalizer}, nil
}

// Callback returns the id of the callback; zero if there is none.
func (g *Group) Callback() task.ID { return g.callback }

// Finalizer returns the id of the finalizer; zero if there is none. Of several it is
// that of a group of them, which has a status as any other.
func (g *Group) Finalizer() task.ID { return g.finalizer }

// flowHandle is what groups and pipes have in common.
type flowHandle struct {
	a   *Arbiter
	req *task.Request // nil if it was not sent from here
	id  task.ID       // if so
}

// ID returns the id, under which any process can ask for it.
func (h *flowHandle) ID() task.ID {
	if h.req != nil {
		return h.req.ID()
	}
	return h.id
}

// Send sends it again after an error that wraps [task.ErrIndeterminate] or
// [task.ErrUnavailable]. Nothing is stored twice.
func (h *flowHandle) Send(ctx context.Context) error {
	if h.req == nil {
		return nil
	}
	return h.a.client.SubmitWatched(ctx, h.req)
}

// Members returns the ids of the members, in the order given. The error wraps
// [task.ErrNotFound] if it is not kept any more.
func (h *flowHandle) Members(ctx context.Context) ([]task.ID, error) {
	if h.req != nil {
		members := h.req.Flow().Members
		ids := make([]task.ID, len(members))
		for i, m := range members {
			ids[i] = m.ID()
		}
		return ids, nil
	}
	var ids []task.ID
	for m, err := range h.a.members(ctx, h.id) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, m.ID)
	}
	return ids, nil
}

// Wait yields the status of each member once it is done, in the order in which
// they are done, as [Arbiter.WaitForTasks] does. It does not wait for callback
// and finalizer. The outcomes of the members can be read for as long as the group or pipe
// is kept, by any arbiter; the members' own retention does not matter.
func (h *flowHandle) Wait(ctx context.Context) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		ids, err := h.Members(ctx)
		if err != nil {
			yield(Status{}, err)
			return
		}
		w := h.waitForMembers(ids)
		defer w.close()
		for left := len(ids); !w.over(); {
			arrivals, err := w.next(ctx)
			if err != nil {
				yield(Status{}, fmt.Errorf("wait for %d of %d members: %w", left, len(ids), err))
				return
			}
			left -= len(arrivals)
			if !h.a.yieldArrivals(arrivals, yield) {
				return
			}
		}
	}
}

// Status returns its status; see [Arbiter.Status].
func (h *flowHandle) Status(ctx context.Context, opts ...StatusOption) (Status, error) {
	return h.a.Status(ctx, h.ID(), opts...)
}

// Kill kills it; see [Arbiter.KillGroup].
func (h *flowHandle) Kill(ctx context.Context, opts ...KillOption) ([]Killed, error) {
	return h.a.KillGroup(ctx, h.ID(), opts...)
}

// Result waits until it has ended, callback and finalizer included, and decodes
// its result into the pointer into, or drops it if into is nil. The result of a
// pipe is that of its last step; of a group that of its callback, or else the
// results of all members in the order given, nil for those that did not succeed.
// The errors are those of [task.Future.Result]; that of a group or pipe that has
// failed wraps [task.ErrFlowFailed] and names the member.
func (h *flowHandle) Result(ctx context.Context, into any) error {
	return h.a.client.Await(ctx, h.ID(), into)
}

// flows returns what the broker has for groups.
func (a *Arbiter) flows() (broker.Flows, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	return broker.FlowsOf(a.b, "looking up a group or pipe")
}

func (a *Arbiter) lookupFlow(ctx context.Context, id task.ID) (*broker.Progress, error) {
	f, err := a.flows()
	if err == nil {
		var p *broker.Progress
		if p, err = f.LookupFlow(ctx, id); err == nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s %s: %w", kindOf(id), id, err)
}

// members yields the members of a flow, page by page.
func (a *Arbiter) members(ctx context.Context, id task.ID) iter.Seq2[broker.Member, error] {
	return func(yield func(broker.Member, error) bool) {
		f, err := a.flows()
		for from := 0; err == nil; {
			var page []broker.Member
			if page, err = f.Members(ctx, id, from, broker.MaxBatch, false); err != nil {
				break
			}
			if len(page) == 0 {
				return
			}
			for _, m := range page {
				if !yield(m, nil) {
					return
				}
			}
			from += len(page)
		}
		yield(broker.Member{}, fmt.Errorf("members of %s %s: %w", kindOf(id), id, err))
	}
}

// kindOf returns what an id stands for, in a word.
func kindOf(id task.ID) string { return client.KindName(id) }
