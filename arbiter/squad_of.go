package arbiter

import (
	"context"
	"slices"

	"github.com/go-arbiter/arbiter/task"
)

// SquadOf is [Arbiter.Squad] for calls of one result type.
func SquadOf[R any](ctx context.Context, a *Arbiter, calls []task.Call[R], opts ...SquadOption) (*GroupFuture[R], error) {
	g, err := a.Squad(ctx, task.Calls(calls...), opts...)
	if g == nil {
		return nil, err
	}
	return &GroupFuture[R]{g}, err
}

// SquadThen is [SquadOf] with a callback that gets the results of all members. It is to SquadOf what [GroupThen] is to
// [GroupOf].
func SquadThen[R, X any](ctx context.Context, a *Arbiter, calls []task.Call[R], callback task.Step[[]R, X], opts ...SquadOption) (*GroupFuture[R], *task.Future[X], error) {
	g, err := SquadOf(ctx, a, calls, append(slices.Clip(opts), callbackOf(a, callback))...)
	if g == nil {
		return nil, nil, err
	}
	return g, task.NewFuture[X](a, g.Callback()), err
}
