package request

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// parts are the members of a pipe or group, with its settings. They never change: a call makes
// requests of its own from them when it is sent, so that it can be a part of several others.
type parts struct {
	kind    broker.Kind
	before  *parts // of a pipe: the steps before those in members, so that Then copies no list
	members []*Request
	size    int // the number of members, with those in before
	group   GroupSettings
}

// GroupSettings are the properties of a group beside its members.
type GroupSettings struct {
	Quorum    int             // how many members must succeed
	Callback  *Request        // runs once all members are done and enough have succeeded; nil if there is none
	Finalizer *Request        // runs after all else; nil if there is none. Several finalizers are a group of single tasks
	Timeout   time.Duration   // the finalizer runs after this time even if members still run; 0 is never
	Timeouts  []time.Duration // the timeout of each of several finalizers; nil for one
}

// Flow is a group or a pipe, as a task.Submitter sees it.
type Flow struct {
	Kind    broker.Kind // broker.KindGroup or KindPipe
	Members []*Request
	GroupSettings
}

// Flow returns the members and settings of a pipe or group, or nil for a single task. The
// requests in it belong to this request.
func (r *Request) Flow() *Flow {
	if r.special.parts == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.special.flow == nil {
		p := r.special.parts
		f := &Flow{Kind: p.kind, Members: make([]*Request, p.size), GroupSettings: p.group}
		at := p.size
		for ; p != nil; p = p.before {
			for _, v := range slices.Backward(p.members) {
				at--
				f.Members[at] = v.clone()
			}
		}
		f.Callback, f.Finalizer = f.Callback.clone(), f.Finalizer.clone()
		r.special.flow = f
	}
	return r.special.flow
}

// FlowID returns the id of a pipe or group. If it has none yet, newID makes it; if newID is nil,
// FlowID makes a fresh one.
func (r *Request) FlowID(newID func(kind broker.Kind) broker.ID) broker.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.special.parts; r.id.IsZero() && p != nil {
		if newID == nil {
			r.id = broker.NewID(p.kind, "", 0)
		} else {
			r.id = newID(p.kind)
		}
	}
	return r.id
}

// Upstream returns the name of the parameter that gets the result of the call before this one. It
// is empty if there is none.
func (r *Request) Upstream() string { return r.special.upstream }

// Waiting returns a copy of r whose parameter param gets the result of the call before it. The
// arguments of r lack that parameter, and are [codec.Arguments].
func (r *Request) Waiting(param string) *Request {
	c := r.clone()
	own := c.own()
	own.upstream = param
	if own.parts != nil {
		own.parts = own.parts.first(func(m *Request) *Request { return m.Waiting(param) })
	}
	return c
}

// WithArgs returns a copy of r with other arguments. It has no id yet.
func (r *Request) WithArgs(args any) *Request {
	c := r.clone()
	c.args = untyped{args}
	return c
}

// clone returns a copy of r without an id. It is nil if r is nil.
func (r *Request) clone() *Request {
	if r == nil {
		return nil
	}
	c := &Request{name: r.name, args: r.args, settings: r.settings, special: &ordinary}
	if s := r.special; s != &ordinary {
		c.special = &special{err: s.err, upstream: s.upstream, parts: s.parts} // without its flow: the copy makes its own
	}
	c.reserve()
	return c
}

// With returns a copy of r without an id, and with the settings that change makes of a copy of those of
// r. In a pipe or group, the settings of each task are changed, too. A nil change is none. A submitter
// can't send the copy in place of r, since the future of the call has the id of r.
func (r *Request) With(change func(*Settings)) *Request {
	c := r.clone()
	if change == nil {
		return c
	}
	s := r.settings.Clone()
	change(&s)
	c.settings = &s
	c.reserve()
	if r.special.parts == nil {
		if s.Lane != nil {
			c.settings = s.ForArgs(r.Args())
		}
		return c
	}
	if s.Unique.keyed() || s.Delay != 0 || !s.ETA.IsZero() {
		c.fail(fmt.Errorf("%s: %w option: Delay, ETA and unique keys are for single tasks: give them to the calls in it", r.name, broker.ErrInvalid))
	}
	if s.Spread != 0 {
		c.fail(c.noPlace())
	}
	if err := s.Unique.OnConflict.inFlow(); err != nil {
		c.fail(fmt.Errorf("%s: %w", r.name, err))
	}
	c.own().parts = r.special.parts.each(func(m *Request) *Request { return m.With(change) })
	return c
}

// WithRetention returns a copy of a pipe or group that is kept for d after it has ended. It has no id yet.
func (r *Request) WithRetention(d time.Duration) *Request {
	c := r.clone()
	s := r.settings.Clone()
	s.Retention = d
	c.settings = &s
	return c
}

// Bind returns the request of a step with the argument that it waits for.
func (r *Request) Bind(upstream any) *Request {
	c := r.clone()
	own := c.own()
	own.upstream = ""
	if own.parts != nil {
		own.parts = own.parts.first(func(m *Request) *Request { return m.Bind(upstream) })
		return c
	}
	named := make(map[string]any, 1)
	var positional []any
	if args, ok := r.Args().(codec.Arguments); ok {
		maps.Copy(named, args.Named)
		positional = args.Positional
	}
	named[r.special.upstream] = upstream
	c.args = untyped{codec.Arguments{Positional: positional, Named: named}}
	return c
}

// list returns all members, in order.
func (p *parts) list() []*Request {
	out := make([]*Request, p.size)
	at := p.size
	for ; p != nil; p = p.before {
		at -= len(p.members)
		copy(out[at:], p.members)
	}
	return out
}

// each returns the parts with fn applied to every request.
func (p *parts) each(fn func(*Request) *Request) *parts {
	c := &parts{kind: p.kind, members: p.list(), size: p.size, group: p.group}
	for i, m := range c.members {
		c.members[i] = fn(m)
	}
	if c.group.Callback != nil {
		c.group.Callback = fn(c.group.Callback)
	}
	if c.group.Finalizer != nil {
		c.group.Finalizer = fn(c.group.Finalizer)
	}
	return c
}

// first returns the parts with fn applied to the members that start first: all members of a group,
// the first of a pipe.
func (p *parts) first(fn func(*Request) *Request) *parts {
	c := &parts{kind: p.kind, members: p.list(), size: p.size, group: p.group}
	for i, m := range c.members {
		if i == 0 || p.kind == broker.KindGroup {
			c.members[i] = fn(m)
		}
	}
	return c
}

// Pipe returns the request of a pipe of steps. Each step but the first gets the result of the step
// before it, if it was made with [Request.Waiting].
func Pipe(steps []*Request) *Request {
	return newFlow(&parts{kind: broker.KindPipe, members: steps, size: len(steps)})
}

// Group returns the request of a group. Sending it reports the first thing that is wrong with it. A nil
// member is an error.
func Group(members []*Request, s GroupSettings) *Request {
	r := newFlow(&parts{kind: broker.KindGroup, members: members, size: len(members), group: s})
	if s.Quorum < 0 || s.Quorum > len(members) {
		r.fail(fmt.Errorf("group: %w: %d of %d members must succeed", broker.ErrInvalid, s.Quorum, len(members)))
	}
	for _, d := range append([]time.Duration{s.Timeout}, s.Timeouts...) {
		if d < 0 || d > broker.MaxDuration {
			r.fail(fmt.Errorf("group: %w: its finalizer's timeout is %v, want 0 to %v", broker.ErrInvalid, d, broker.MaxDuration))
		}
	}
	return r
}

// Then returns the request of a pipe: before, which may be a pipe itself, and then next, which may be
// one, too. A nil request is an error when the pipe is sent.
func Then(before, next *Request) *Request {
	before, next = orZero(before), orZero(next)
	p := &parts{kind: broker.KindPipe, before: chainOf(before), members: []*Request{next}}
	if next.special.parts != nil && next.special.parts.kind == broker.KindPipe && next.special.err == nil {
		p.members = next.special.parts.list()
	}
	p.size = p.before.size + len(p.members)
	r := newFlow(p)
	r.fail(before.special.err)
	r.checkMember(before)
	s := r.settings.Clone()
	s.Retention = max(before.settings.Retention, next.settings.Retention)
	r.settings = &s
	return r
}

// chainOf returns the parts of r if it is a pipe, or else of a pipe with r as its only step.
func chainOf(r *Request) *parts {
	if r.special.parts != nil && r.special.parts.kind == broker.KindPipe {
		return r.special.parts
	}
	return &parts{kind: broker.KindPipe, members: []*Request{r}, size: 1}
}

// orZero returns r, or for a nil r a request that can't be sent: the call or step was zero.
func orZero(r *Request) *Request {
	if r == nil {
		return New("", nil, nil)
	}
	return r
}

func newFlow(p *parts) *Request {
	r := &Request{name: "group", settings: noOptions, special: &special{parts: p}}
	if p.kind == broker.KindPipe {
		r.name = "pipe"
	}
	if p.size > broker.MaxMembers {
		r.fail(fmt.Errorf("%s: %w: %d members, want 0 to %d", r.name, broker.ErrInvalid, p.size, broker.MaxMembers))
	}
	for i, m := range p.members {
		if m == nil {
			p.members[i] = New("", nil, nil)
		}
		r.checkMember(m)
	}
	r.checkMember(p.group.Callback)
	r.checkMember(p.group.Finalizer)
	return r
}
