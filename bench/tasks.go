package main

import (
	"context"

	"github.com/go-arbiter/arbiter/task"
)

// addArgs are the arguments of simple_add.
type addArgs struct {
	X int `arbiter:"x"`
	Y int `arbiter:"y"`
}

// addTask is the handle of simple_add.
var addTask = task.Define[addArgs, int]("simple_add")

// registerAdd registers do as the handler of simple_add.
func registerAdd(r task.Registrar, do work) error {
	return task.Handle(r, addTask, func(_ context.Context, a addArgs) (int, error) {
		return do(a.X, a.Y), nil
	})
}
