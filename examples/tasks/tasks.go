// Package tasks has the tasks of the examples.
package tasks

import "context"

//go:generate go tool arbitergen

// Add returns x + y.
//
//arbiter:task name=simple_add
func Add(_ context.Context, x, y int) (int, error) { return x + y, nil }
