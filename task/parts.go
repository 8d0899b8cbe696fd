package task

import (
	"fmt"
	"maps"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// parts are what a pipe or group is made of. They never change: each call that
// has them makes requests of its own of them when it is sent, so that a call can
// be a part of several.
type parts struct {
	kind    broker.Kind
	before  *parts // of a pipe: the steps before those in members; so a step more costs no copy
	members []*Request
	size    int // with those before
	group   GroupSettings
}

// GroupSettings are what a group has beside its members. Only those who make
// requests of groups need it.
type GroupSettings struct {
	Need      int             // how many members must succeed
	Callback  *Request        // nil if there is none
	Finalizer *Request        // the same; of several finalizers a group of them, which are single tasks
	Timeout   time.Duration   // after which the finalizer runs whatever the members do; 0 is never
	Timeouts  []time.Duration // that of each of several finalizers; else nil
}

// Flow is a request that is made of others, as a [Submitter] sees it: a group,
// or a pipe.
type Flow struct {
	Kind    broker.Kind // broker.KindGroup or KindPipe
	Members []*Request
	GroupSettings
}

// Flow returns what the request is made of; nil if it is one task. The requests
// in it are its own.
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
			for i := len(p.members) - 1; i >= 0; i-- {
				at--
				f.Members[at] = p.members[i].clone()
			}
		}
		f.Callback, f.Finalizer = f.Callback.clone(), f.Finalizer.clone()
		r.special.flow = f
	}
	return r.special.flow
}

// FlowID returns the id of a pipe or group, which newID makes if it has none
// yet; a nil newID makes a fresh one.
func (r *Request) FlowID(newID func(kind broker.Kind) ID) ID {
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

// Upstream returns the name of the parameter that gets the result of what is
// before the request; empty if there is none.
func (r *Request) Upstream() string { return r.special.upstream }

// Waiting returns a request like r whose parameter param gets the result of what
// is before it. The arguments of r lack it, and are [codec.Arguments].
func (r *Request) Waiting(param string) *Request {
	c := r.clone()
	own := c.own()
	own.upstream = param
	if own.parts != nil {
		own.parts = own.parts.first(func(m *Request) *Request { return m.Waiting(param) })
	}
	return c
}

// WithArgs returns a request like r with other arguments.
func (r *Request) WithArgs(args any) *Request {
	c := r.clone()
	c.args = untyped{args}
	return c
}

// clone returns another request for the same; nil if r is.
func (r *Request) clone() *Request {
	if r == nil {
		return nil
	}
	c := &Request{name: r.name, args: r.args, settings: r.settings, special: &ordinary}
	if s := r.special; s != &ordinary {
		c.special = &special{err: s.err, upstream: s.upstream, parts: s.parts} // it makes a flow of its own
	}
	return c
}

// with returns a request like r with the options added.
func (r *Request) with(opts []Option) *Request {
	c := r.clone()
	c.settings = r.settings.with(onCall, opts)
	if r.special.parts == nil {
		return c
	}
	if s := c.settings; s.Unique != "" || s.Delay != 0 || !s.ETA.IsZero() {
		c.fail(fmt.Errorf("%s: %w option: Delay, ETA and Unique are for the tasks in it, not for all of them", r.name, broker.ErrInvalid))
	}
	c.own().parts = r.special.parts.each(func(m *Request) *Request { return m.with(opts) })
	return c
}

// bind returns the request of a step with what it waits for.
func (r *Request) bind(upstream any) *Request {
	c := r.clone()
	own := c.own()
	own.upstream = ""
	if own.parts != nil {
		own.parts = own.parts.first(func(m *Request) *Request { return m.bind(upstream) })
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

// each returns parts with fn of every request.
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

// first returns parts with fn of those members that begin: all of a group, the
// first of a pipe.
func (p *parts) first(fn func(*Request) *Request) *parts {
	c := &parts{kind: p.kind, members: p.list(), size: p.size, group: p.group}
	for i, m := range c.members {
		if i == 0 || p.kind == broker.KindGroup {
			c.members[i] = fn(m)
		}
	}
	return c
}

// NewPipe returns the request of a pipe of steps, of which the first gets
// nothing and each other the result of the one before, if it is [Request.Waiting].
func NewPipe(steps []*Request) *Request {
	return newFlow(&parts{kind: broker.KindPipe, members: steps, size: len(steps)})
}

// NewGroup returns the request of a group. Options are its own, not those of its
// members. The first thing that is wrong with it is reported when it is sent.
func NewGroup(members []*Request, s GroupSettings, opts ...Option) *Request {
	r := newFlow(&parts{kind: broker.KindGroup, members: members, size: len(members), group: s})
	r.settings = r.settings.with(onGroup, opts)
	if s.Need < 0 || s.Need > len(members) {
		r.fail(fmt.Errorf("group: %w: %d of %d members must succeed", broker.ErrInvalid, s.Need, len(members)))
	}
	for _, d := range append([]time.Duration{s.Timeout}, s.Timeouts...) {
		if d < 0 || d > broker.MaxDuration {
			r.fail(fmt.Errorf("group: %w: its finalizer's timeout is %v, want 0 to %v", broker.ErrInvalid, d, broker.MaxDuration))
		}
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
			p.members[i] = NewRequest("", nil)
		}
	}
	return r
}
