package task

import (
	"context"

	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task/request"
)

// Named returns a call of a task by its name, for programs that have no typed handle of it:
//
//	sum, err := task.Named("simple_add", task.Args(1, 2)).Call(ctx, info)
//
// The result is decoded as the codec decodes into the type any: int64 or uint64, float64, string,
// bool, nil, []any, map[string]any and so on. A name that is not valid is reported when the call
// is sent. Only a minion knows whether the task exists and whether the arguments fit it: if not,
// the task fails with that reason.
func Named(name string, args codec.Arguments, opts ...Option) Call[any] {
	return Call[any]{request.New(name, args, &resolve(onCall, opts).Settings)}
}

// Args returns arguments by position: they are the first parameters of the task. To give some by
// position and some by name, write a [codec.Arguments].
func Args(args ...any) codec.Arguments { return codec.Arguments{Positional: args} }

// KwArgs returns arguments by the names of the parameters.
func KwArgs(args map[string]any) codec.Arguments { return codec.Arguments{Named: args} }

// Call sends the call and waits for its result. The errors are those of [Call.Send] and
// [Future.Result].
func (c Call[Result]) Call(ctx context.Context, s Submitter) (Result, error) {
	fut, err := c.Send(ctx, s)
	if err != nil {
		var none Result
		return none, err
	}
	return fut.Result(ctx)
}
