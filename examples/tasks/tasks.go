// Package tasks has the tasks of the examples.
package tasks

import (
	"context"

	"github.com/go-arbiter/arbiter/task"
)

// AddArgs are the arguments of Add.
type AddArgs struct {
	X int `arbiter:"x"`
	Y int `arbiter:"y"`
}

// AddTask is the typed handle of Add.
var AddTask = task.Define[AddArgs, int]("simple_add")

// Add returns x + y.
func Add(_ context.Context, args AddArgs) (int, error) { return args.X + args.Y, nil }

// RegisterTasks registers the tasks of this package.
func RegisterTasks(r task.Registrar) error {
	return task.Handle(r, AddTask, Add)
}
