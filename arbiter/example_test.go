package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

//go:generate go tool arbitergen

// Add returns x + y. Its handle is AddTask, in the generated file.
//
//arbiter:task name=simple_add
func Add(_ context.Context, x, y int) (int, error) { return x + y, nil }

// startMinion starts a minion for the examples, which runs until stop is called.
func startMinion(b *memory.Broker) (stop func()) {
	m, err := minion.New(b, minion.Queue("default"))
	if err != nil {
		log.Fatal(err)
	}
	if err := RegisterTasks(m); err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := m.Run(context.Background(), 3); err != nil && !errors.Is(err, task.ErrClosed) {
			log.Print(err)
		}
	}()
	return func() { _ = m.Close() }
}

// The scenario of the original Arbiter: a minion, an arbiter, a task.
func Example() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()

	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	// Typed: send it and get a future, ...
	fut, err := AddTask.Apply(ctx, arb, 1, 2)
	if err != nil {
		log.Fatal(err)
	}
	sum, err := fut.Result(ctx)
	fmt.Println(sum, err)

	// ... or both in one.
	sum, err = AddTask.Call(ctx, arb, 3, 4)
	fmt.Println(sum, err)

	// Output:
	// 3 <nil>
	// 7 <nil>
}
