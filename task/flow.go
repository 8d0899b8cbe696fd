package task

import (
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// Then returns the pipe of a call and a step that takes its result: it compiles
// only where they fit. Its result is that of the step. Sent, it lives in the
// broker: the step starts within milliseconds after the call has succeeded,
// whoever is still there. If the call does not succeed, the step never starts,
// and the pipe has failed with the call's error.
//
// The call can be a pipe or a group itself, and so can the step; a pipe of many
// steps is made by Then of Then, and costs memory in proportion to their number.
func Then[A, B any](call Call[A], step Step[A, B]) Call[B] {
	before := orZero(call.req)
	next := orZero(step.req)
	p := &parts{kind: broker.KindPipe, before: chainOf(before), members: []*Request{next}}
	if next.special.parts != nil && next.special.parts.kind == broker.KindPipe && next.special.err == nil {
		p.members = next.special.parts.list()
	}
	p.size = p.before.size + len(p.members)
	r := newFlow(p)
	r.fail(before.special.err)
	s := r.settings.clone()
	s.Retention = max(before.settings.Retention, next.settings.Retention)
	r.settings = &s
	return Call[B]{r}
}

// chainOf returns the parts of a pipe that begins with r.
func chainOf(r *Request) *parts {
	if r.special.parts != nil && r.special.parts.kind == broker.KindPipe {
		return r.special.parts
	}
	return &parts{kind: broker.KindPipe, members: []*Request{r}, size: 1}
}

// All returns the group of calls, in any order, as one call: its result is that
// of all of them, in the order given. If one does not succeed, the others are
// cancelled, and the group has failed with an error that wraps [ErrFlowFailed]
// and says which and why. Together the results must not be larger than the
// limit of one; an arbiter's Group has no such limit. All of no calls succeeds at
// once, with the empty list.
func All[R any](calls ...Call[R]) Call[[]R] {
	return Call[[]R]{NewGroup(requests(calls), GroupSettings{Need: len(calls)})}
}

// Collect is [All] for calls that may fail: none is cancelled, the group
// succeeds, and its result has nil for those that did not succeed.
func Collect[R any](calls ...Call[R]) Call[[]*R] { return Quorum(0, calls...) }

// Quorum is [Collect] for calls of which n must succeed: once fewer can, the
// others are cancelled, and the group fails. It waits for all of them. Of no calls
// none can succeed, so only a quorum of 0 does, at once.
func Quorum[R any](n int, calls ...Call[R]) Call[[]*R] {
	return Call[[]*R]{NewGroup(requests(calls), GroupSettings{Need: n})}
}

// Fork returns the step that gives what it gets to several steps, to be done in
// any order. Its result is that of all of them, in the order given; it fails as
// [All] does. Fork of no steps succeeds at once, with the empty list.
func Fork[A, B any](steps ...Step[A, B]) Step[A, []B] {
	members := make([]*Request, len(steps))
	for i, s := range steps {
		members[i] = orZero(s.req)
	}
	return Step[A, []B]{req: NewGroup(members, GroupSettings{Need: len(steps)})}
}

// Chain returns the step that is two steps, one after the other.
func Chain[A, B, C any](first Step[A, B], second Step[B, C]) Step[A, C] {
	return Step[A, C]{req: Then(Call[B]{first.req}, second).req}
}

// Calls returns calls of one result type as calls of any.
func Calls[R any](calls ...Call[R]) []Bound {
	out := make([]Bound, len(calls))
	for i, c := range calls {
		out[i] = c
	}
	return out
}

func requests[R any](calls []Call[R]) []*Request {
	out := make([]*Request, len(calls))
	for i, c := range calls {
		out[i] = orZero(c.req)
	}
	return slices.Clip(out)
}

// orZero returns r, or a request that says that the call or step was zero.
func orZero(r *Request) *Request {
	if r == nil {
		return NewRequest("", nil)
	}
	return r
}
