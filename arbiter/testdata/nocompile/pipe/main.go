// Pipes whose steps do not fit.
package main

import "github.com/go-arbiter/arbiter/task"

type args struct{ N int }

var (
	number = task.Define[args, int]("number")
	text   = task.Define[args, string]("text")
	half   = task.NewStep[int](number, "N", nil)
)

func main() {
	_ = task.Then(number.Bind(args{1}), half)
	_ = task.Then(text.Bind(args{1}), half)                               // ERROR type task.Step[int, int] of half does not match inferred type task.Step[string, B]
	_ = task.Then(task.All(number.Bind(args{1})), half)                   // ERROR type task.Step[int, int] of half does not match inferred type task.Step[[]int, B]
	_ = task.Then(number.Bind(args{1}), task.Fork(half)).With().Send      // a step of a group
	_ = task.Then(task.Then(number.Bind(args{1}), task.Fork(half)), half) // ERROR type task.Step[int, int] of half does not match inferred type task.Step[[]int, B]
	_ = task.All(number.Bind(args{1}), text.Bind(args{1}))                // ERROR type task.Call[string] of text.Bind(args{…}) does not match inferred type task.Call[int]
	_ = task.Chain(half, task.NewStep[string](number, "N", nil))          // ERROR does not match inferred type task.Step[int, C]
}
