package task

import (
	"context"

	"github.com/go-arbiter/arbiter/task/request"
)

// Call is one invocation of a task, bound to its arguments and not sent yet. It can also
// stand for several tasks, see [Then] and [All].
//
// A Call has reference semantics: all copies are the same invocation. It gets its id when
// it is first sent, and keeps it. Sending it again is a repeat and makes no second task.
// The zero Call belongs to no task, and sending it is an error.
type Call[Result any] struct {
	req *request.Request
}

// Bound is a call of any result type. [Submitter.Submit] takes it.
type Bound interface {
	// Request returns the request to send. It is nil for the zero Call.
	Request() *request.Request
}

// Request implements [Bound].
func (c Call[Result]) Request() *request.Request { return c.req }

// With returns another invocation with the same arguments and the options added. It has an
// id of its own. In a pipe or group, each task gets the options. [Delay], [ETA], [Spread] and
// unique keys are for single tasks only. [Retention] is set for the pipe or group itself, too.
func (c Call[Result]) With(opts ...Option) Call[Result] {
	if c.req == nil {
		return c
	}
	return Call[Result]{c.req.With(adding(opts))}
}

// Send sends the call and returns its future. If the broker can't be reached, an arbiter or the
// [Info] of a running task tries again for five seconds, or until ctx ends. The error is a
// [*SubmitError]. It wraps
//
//   - [ErrInvalid] or [ErrTooLarge], if the call can't be accepted as it is,
//   - [ErrDuplicate], if another task has the call's unique key: errors.As finds a
//     [*DuplicateError] that names it. With [ConflictJoin] the future is that of this task,
//     and there is no error,
//   - [ErrUnsupported], if the broker lacks a capability that the call needs,
//   - [ErrUnavailable] or [ErrClosed], if the broker could not be reached or the submitter
//     is closed,
//   - [ErrDamaged], if the broker found damaged data,
//   - ctx's error, if ctx has ended first,
//   - [ErrIndeterminate], perhaps beside another one, if the call may have been stored all the
//     same.
func (c Call[Result]) Send(ctx context.Context, s Submitter) (*Future[Result], error) {
	if err := c.req.Alone(); err != nil {
		return nil, &SubmitError{Failed: []FailedCall{{ID: c.req.ID(), Name: c.req.Name(), Err: err}}, Total: 1}
	}
	if err := orNowhere(s).Submit(ctx, c); err != nil {
		joined, err := join(err, c.req)
		if err != nil {
			return nil, err
		}
		return NewFuture[Result](s, joined[0]), nil
	}
	return NewFuture[Result](s, c.req.ID()), nil
}

// SendAll sends calls in as few round trips as possible and returns one future for each, in
// the same order. If some calls are refused, the error is a [*SubmitError] that lists them
// and their futures are nil. The other calls are stored and have futures.
func SendAll[Result any](ctx context.Context, s Submitter, calls ...Call[Result]) ([]*Future[Result], error) {
	bound := make([]Bound, len(calls))
	for i, c := range calls {
		bound[i] = c
	}
	err := orNowhere(s).Submit(ctx, bound...)
	var joined map[int]ID
	if err != nil {
		reqs := make([]*request.Request, len(calls))
		for i, c := range calls {
			reqs[i] = c.req
		}
		joined, err = join(err, reqs...)
	}
	futs := make([]*Future[Result], len(calls))
	var some []Future[Result] // allocated 16 at a time: a future that is kept keeps its block in memory
	for i, c := range calls {
		if c.req == nil || failed(err, i) {
			continue
		}
		if len(some) == 0 {
			some = make([]Future[Result], min(len(calls)-i, 16))
		}
		futs[i], some = &some[0], some[1:]
		futs[i].id, futs[i].from = c.req.ID(), s
		if holder, is := joined[i]; is {
			futs[i].id = holder
		}
	}
	return futs, err
}
