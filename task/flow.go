package task

import "github.com/go-arbiter/arbiter/task/request"

// Then returns the pipe of a call and a step that takes the call's result as its argument. It
// compiles only if the types fit. The result of the pipe is the result of the step.
//
// The broker keeps the pipe: the step starts within milliseconds after the call has succeeded,
// even if the submitter has ended. If the call does not succeed, the step never starts, and
// the pipe fails with the call's error.
//
// The call can be a pipe or a group itself, and so can the step. Make a pipe of many steps with
// nested calls of Then: the memory grows in proportion to their number.
func Then[A, B any](call Call[A], step Step[A, B]) Call[B] {
	return Call[B]{request.Then(call.req, step.req)}
}

// All returns the group of calls as one call. The calls run in any order, and the result lists
// all results in the order given. If one call does not succeed, the others are cancelled, and
// the group fails with an error that wraps [ErrFlowFailed] and names the call and its error.
// All results together must not be larger than the limit of one result, 1 MiB by default; an
// arbiter's Group has no such limit. All without calls succeeds at once, with an empty list.
func All[R any](calls ...Call[R]) Call[[]R] {
	return Call[[]R]{request.Group(requests(calls), request.GroupSettings{Quorum: len(calls)})}
}

// Collect is [All] for calls that may fail: none is cancelled, the group succeeds, and its
// result is nil at the position of each call that did not succeed.
func Collect[R any](calls ...Call[R]) Call[[]*R] { return Quorum(0, calls...) }

// Quorum is [Collect] for calls of which n must succeed, 0 to the number of calls. As soon as
// fewer than n can succeed, the others are cancelled and the group fails. Otherwise it waits for
// all of them. Sending reports another n with an error that wraps [ErrInvalid].
func Quorum[R any](n int, calls ...Call[R]) Call[[]*R] {
	return Call[[]*R]{request.Group(requests(calls), request.GroupSettings{Quorum: n})}
}

// Fork returns a step that passes its argument on to several steps, which run in any order. Its
// result lists their results in the order given. It fails as [All] does. Fork without steps
// succeeds at once, with an empty list.
func Fork[A, B any](steps ...Step[A, B]) Step[A, []B] {
	members := make([]*request.Request, len(steps))
	for i, s := range steps {
		members[i] = s.req
	}
	return Step[A, []B]{req: request.Group(members, request.GroupSettings{Quorum: len(steps)})}
}

// Chain returns the step that runs two steps, one after the other.
func Chain[A, B, C any](first Step[A, B], second Step[B, C]) Step[A, C] {
	return Step[A, C]{req: Then(Call[B]{first.req}, second).req}
}

// Calls returns typed calls as a list of [Bound], which can be mixed with calls of other types.
func Calls[R any](calls ...Call[R]) []Bound {
	out := make([]Bound, len(calls))
	for i, c := range calls {
		out[i] = c
	}
	return out
}

func requests[R any](calls []Call[R]) []*request.Request {
	out := make([]*request.Request, len(calls))
	for i, c := range calls {
		out[i] = c.req
	}
	return out
}
