// Package tasks has the tasks of the examples.
package tasks

import "context"

//go:generate go tool arbitergen

// Add returns x + y.
//
//arbiter:task name=simple_add
func Add(_ context.Context, x, y int) (int, error) { return x + y, nil }

// Increase returns upstream, the result of the step before it in a pipe, plus n.
//
//arbiter:task name=increase
func Increase(_ context.Context, upstream, n int) (int, error) { return upstream + n, nil }

// Total returns the sum of the results of a group.
//
//arbiter:task name=total
func Total(_ context.Context, upstream []int) (int, error) {
	sum := 0
	for _, n := range upstream {
		sum += n
	}
	return sum, nil
}
