package task

import (
	"context"
)

// Call is one invocation of a task: bound to its arguments, not sent yet. It can
// also be of several, see [Then] and [All]. It
// has reference semantics: all copies are the same invocation, which gets its
// id when it is first sent and keeps it. Sending it again is a repeat that
// makes no second task.
type Call[Result any] struct {
	req *Request
}

// Bound is a call of any result type: what [Submitter.Submit] takes.
type Bound interface {
	// Request returns what is to be sent; nil for the zero Call.
	Request() *Request
}

// Request implements [Bound].
func (c Call[Result]) Request() *Request { return c.req }

// With returns another invocation with the same arguments and the options
// added. It has an id of its own. Of a pipe or group, each task gets the options;
// [Delay], [ETA] and [Unique] are for single tasks only, and [Retention] is that
// of the whole too.
func (c Call[Result]) With(opts ...Option) Call[Result] {
	if c.req == nil {
		return c
	}
	return Call[Result]{c.req.with(opts)}
}

// Send sends the call and returns its future. An error that wraps
// [ErrInvalid] or [ErrTooLarge] says what is wrong with the call; one that
// wraps [ErrDuplicate] names the task that stands in the way; a
// [*SubmitError] says whether the call may have been stored all the same.
func (c Call[Result]) Send(ctx context.Context, s Submitter) (*Future[Result], error) {
	if err := orNowhere(s).Submit(ctx, c); err != nil {
		return nil, err
	}
	return NewFuture[Result](s, c.req.ID()), nil
}

// SendAll sends calls in as few round trips as possible and returns their
// futures, in order. If some are refused, the error is a [*SubmitError] that
// says which, and the futures of the others are there all the same; those of
// the refused ones are nil.
func SendAll[Result any](ctx context.Context, s Submitter, calls ...Call[Result]) ([]*Future[Result], error) {
	bound := make([]Bound, len(calls))
	for i, c := range calls {
		bound[i] = c
	}
	err := orNowhere(s).Submit(ctx, bound...)
	futs := make([]*Future[Result], len(calls))
	var some []Future[Result] // allocated few at a time: they keep each other alive
	for i, c := range calls {
		if c.req == nil || failed(err, i) {
			continue
		}
		if len(some) == 0 {
			some = make([]Future[Result], min(len(calls)-i, 16))
		}
		futs[i], some = &some[0], some[1:]
		futs[i].id, futs[i].from = c.req.ID(), s
	}
	return futs, err
}
