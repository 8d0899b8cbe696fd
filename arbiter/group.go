package arbiter

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// GroupOption changes a group; see [Arbiter.Group]. If an option is given twice, the later one counts, unless its
// documentation says otherwise.
type GroupOption interface {
	SquadOption
	applyGroup(*groupConfig)
}

type groupConfig struct {
	request.GroupSettings
	finalizers []*request.Request
	timeouts   []time.Duration
	retention  *time.Duration // nil for the default
	takesNil   func() error   // returns an error if the callback can't take nil for a missing result; nil if it can
	err        error          // the first error of an option
}

func (c *groupConfig) fail(format string, args ...any) {
	c.err = cmp.Or(c.err, fmt.Errorf("%w option: "+format, append([]any{broker.ErrInvalid}, args...)...))
}

// callback sets the callback. A second one is an error. The text none is the error for a nil request.
func (c *groupConfig) callback(req *request.Request, none string) {
	switch {
	case req == nil:
		c.fail("%s", none)
	case c.Callback != nil:
		c.fail("a second callback, %s after %s: a group has only one; "+
			"combine several calls with task.All or task.Collect, and several steps with task.Fork", req.Name(), c.Callback.Name())
	}
	c.Callback = req
}

// settle returns the settings that the options of a group of n members result in.
func (c *groupConfig) settle(n int) (request.GroupSettings, error) {
	if c.err == nil && c.takesNil != nil && c.Quorum < n {
		c.err = c.takesNil()
	}
	s := c.GroupSettings
	switch len(c.finalizers) {
	case 0:
	case 1:
		s.Finalizer, s.Timeout = c.finalizers[0], c.timeouts[0]
	default:
		s.Finalizer, s.Timeouts = request.Group(c.finalizers, request.GroupSettings{}), c.timeouts
	}
	return s, c.err
}

type groupFunc func(*groupConfig)

func (f groupFunc) applyGroup(c *groupConfig) { f(c) }

// Callback sets the callback of a group: a call that runs once all members are done and enough of them have succeeded.
// That is all members, unless [Quorum] or [Collect] is given. The call has only its own arguments; see [CallbackStep]
// and [GroupThen] for a callback that gets the results. A callback that will never run is canceled, and the group's
// [Status] has the reason. The default is none.
//
// A group has only one callback, which may be a group itself. A second one, by Callback, [CallbackStep] or [GroupThen], is
// an error that wraps [task.ErrInvalid]. Combine several calls with [task.All], if the first that fails is to end the
// others, or with [task.Collect], if each is to run regardless of the others.
func Callback(call task.Bound) GroupOption {
	return groupFunc(func(c *groupConfig) { c.callback(requestOf(call), "Callback without a call") })
}

// CallbackStep is [Callback] for a step that gets the results of all members, in the order given. The result of a member
// that did not succeed is nil. All results together must fit into the arguments of a task, 1 MiB by default.
func CallbackStep[X any](step task.Step[[]any, X]) GroupOption {
	return callbackStep(step.Unbound())
}

func callbackStep(req *request.Request) GroupOption {
	return groupFunc(func(c *groupConfig) { c.callback(req, "the callback is the zero Step") })
}

// Finalizer adds a call that always runs last, after the members and the callback, whether they have succeeded, failed or
// were killed. If timeout is not 0, the call starts no later than that after the group was sent, even if other tasks
// of the group still run. With 0 it waits for them without a limit. The largest timeout is broker.MaxDuration, ten years.
// The call must be a single task. The default is none.
//
// If it is given several times, all the calls run, in any order and independently of each other, each with its own
// timeout. The group ends when all of them are done.
func Finalizer(call task.Bound, timeout time.Duration) GroupOption {
	return groupFunc(func(c *groupConfig) {
		req := requestOf(call)
		if req == nil {
			c.fail("Finalizer without a call")
		}
		c.finalizers, c.timeouts = append(c.finalizers, req), append(c.timeouts, timeout)
	})
}

// Quorum sets how many members must succeed, 0 to the number of members. As soon as fewer than n can, the others are
// cancelled and the group fails. The default is all members, so that the first failure ends the group.
func Quorum(n int) GroupOption {
	return groupFunc(func(c *groupConfig) { c.Quorum = n })
}

// Collect is [Quorum] of 0: no failure ends the group, and the callback runs when all members are done, whatever their
// outcomes.
func Collect() GroupOption { return Quorum(0) }

// GroupRetention is how long a group is kept after it has ended, with the outcomes of its members: 0 to broker.MaxDuration,
// ten years. The default is an hour.
func GroupRetention(d time.Duration) GroupOption {
	return groupFunc(func(c *groupConfig) {
		if c.retention = &d; d < 0 || d > broker.MaxDuration {
			c.fail("GroupRetention(%v), want 0 to %v", d, broker.MaxDuration)
		}
	})
}

// request returns the request of a group of calls with these settings.
func (c *groupConfig) request(calls []task.Bound, s request.GroupSettings) *request.Request {
	members := make([]*request.Request, len(calls))
	for i, call := range calls {
		members[i] = requestOf(call)
	}
	req := request.Group(members, s)
	if c.retention != nil {
		req = req.WithRetention(*c.retention)
	}
	return req
}

func requestOf(call task.Bound) *request.Request {
	if call == nil {
		return nil
	}
	return call.Request()
}

// Group is the handle of a group that was sent. The group itself lives in the broker, and goes on without this process.
type Group struct {
	flowHandle
	callback, finalizer task.ID
}

// Group sends calls as a group: they run in any order, and the group has an id. The calls can have any result types, and
// can be pipes and groups themselves. The members are copies of the calls, with ids of their own. See [GroupOf] for
// calls of one result type.
//
// A group without calls is like a loop over an empty list. It succeeds at once with the empty list, and its callback,
// which gets the empty list, and its finalizer run.
//
// If an option is invalid, the error wraps [task.ErrInvalid] and the Group is nil. If sending fails, the error is a
// [*task.SubmitError] and the Group is not nil: [Group.Send] sends it again. If the error wraps [task.ErrInvalid] or
// [task.ErrDuplicate], a call can't be stored, and the members that were stored before it are killed.
func (a *Arbiter) Group(ctx context.Context, calls []task.Bound, opts ...GroupOption) (*Group, error) {
	cfg := groupConfig{GroupSettings: request.GroupSettings{Quorum: len(calls)}}
	for _, o := range opts {
		if o != nil {
			o.applyGroup(&cfg)
		}
	}
	settings, err := cfg.settle(len(calls))
	if err != nil {
		return nil, fmt.Errorf("group: %w", err)
	}
	req := cfg.request(calls, settings)
	g := &Group{flowHandle: flowHandle{a: a, req: req}}
	err = g.Send(ctx)
	f := req.Flow()
	g.callback, g.finalizer = idOf(f.Callback), idOf(f.Finalizer)
	return g, err
}

func idOf(req *request.Request) task.ID {
	if req == nil {
		return task.ID{}
	}
	return req.ID()
}

// FindGroup returns the handle of a group or pipe that was sent before, perhaps by another process. The error wraps
// [task.ErrNotFound] if it is unknown or no longer kept, [task.ErrUnavailable] or [task.ErrClosed].
func (a *Arbiter) FindGroup(ctx context.Context, id task.ID) (*Group, error) {
	p, err := a.lookupFlow(ctx, id)
	if err != nil {
		return nil, err
	}
	return &Group{flowHandle: flowHandle{a: a, id: id}, callback: p.Flow.Callback, finalizer: p.Flow.Finalizer}, nil
}

// Callback returns the id of the callback, or the zero ID if there is none.
func (g *Group) Callback() task.ID { return g.callback }

// Finalizer returns the id of the finalizer, or the zero ID if there is none. Several finalizers are a group, and the id is
// that group's: it has a status as any other group.
func (g *Group) Finalizer() task.ID { return g.finalizer }

// flowHandle is the common part of Group and Pipe.
type flowHandle struct {
	a     *Arbiter
	req   *request.Request // nil for a squad, and if the flow was found by its id
	id    task.ID          // used if req is nil
	squad bool
}

// ID returns the id of the group or pipe. Any process can look it up by its id.
func (h *flowHandle) ID() task.ID {
	if h.req != nil {
		return h.req.ID()
	}
	return h.id
}

// Send sends the group or pipe again, after an error that wraps [task.ErrIndeterminate] or [task.ErrUnavailable]. Nothing is
// stored twice. The errors are those of [Arbiter.Group].
//
// A squad can't be sent again, since its members start together or never: if its [Status] says that it did not start, make
// another one with [Arbiter.Squad]. A handle that [Arbiter.FindGroup] has returned can't be sent either, since it has no
// calls. For both, the error wraps [task.ErrInvalid].
func (h *flowHandle) Send(ctx context.Context) error {
	if h.req != nil {
		return h.a.client.SubmitWatched(ctx, h.req)
	}
	if h.squad {
		return fmt.Errorf("send squad %s: %w: a squad can't be sent again; its Status says whether it has started, "+
			"and Arbiter.Squad makes another one", h.id, broker.ErrInvalid)
	}
	return fmt.Errorf("send %s %s: %w: a handle of FindGroup has no calls; "+
		"only the handle that Arbiter.Group or Arbiter.Pipe has returned can send them again", kindOf(h.id), h.id, broker.ErrInvalid)
}

// Members returns the ids of the members, in the order given. The error wraps [task.ErrNotFound] if the group or pipe is no
// longer kept.
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

// WaitForMembers yields the status of each member as soon as it is done, as [Arbiter.WaitForTasks] does. It does not wait for the
// callback and the finalizer. Any arbiter can read the outcomes of the members for as long as the group or pipe is kept; the
// members' own retention does not matter.
func (h *flowHandle) WaitForMembers(ctx context.Context) iter.Seq2[Status, error] {
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

// Status returns the status of the group or pipe; see [Arbiter.Status].
func (h *flowHandle) Status(ctx context.Context, opts ...StatusOption) (Status, error) {
	return h.a.Status(ctx, h.ID(), opts...)
}

// Kill kills the group or pipe; see [Arbiter.KillGroup].
func (h *flowHandle) Kill(ctx context.Context, opts ...KillOption) ([]Killed, error) {
	return h.a.KillGroup(ctx, h.ID(), opts...)
}

// Result waits until the group or pipe has ended, with callback and finalizer, and decodes its result into the pointer into.
// If into is nil, the result is dropped. The result of a pipe is the result of its last step. The result of a group is the
// result of its callback; without a callback it is the list of the members' results in the order given, with nil for
// each member that did not succeed. The errors are those of [task.Future.Result]. If the group or pipe has failed, the
// error wraps [task.ErrFlowFailed] and names the member.
func (h *flowHandle) Result(ctx context.Context, into any) error {
	return h.a.client.Await(ctx, h.ID(), into)
}

// flows returns the broker's capability for groups and pipes.
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

// kindOf returns the word for an id in error messages: task, group or pipe.
func kindOf(id task.ID) string { return client.KindName(id) }
