// Callbacks that take the wrong result.
package main

import (
	"context"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

type args struct{ N []string }

var (
	join   = task.Define[args, string]("join")
	joined = task.NewStep[[]string](join, "N", nil)
	number = task.Define[struct{ N int }, int]("number")
)

func main() {
	ctx := context.Background()
	var arb *arbiter.Arbiter
	_, _, _ = arbiter.GroupThen(ctx, arb, []task.Call[string]{join.Bind(args{})}, joined)
	_, _, _ = arbiter.GroupThen(ctx, arb, []task.Call[int]{number.Bind(struct{ N int }{1})}, joined) // ERROR type task.Step[[]string, string] of joined does not match inferred type task.Step[[]int, X]
	_ = arbiter.CallbackStep(joined)                                                                 // ERROR type task.Step[[]string, string] of joined does not match task.Step[[]any, X]
	_, _ = arbiter.GroupOf(ctx, arb, []task.Call[int]{join.Bind(args{})})                            // ERROR cannot use join.Bind(args{})
}
