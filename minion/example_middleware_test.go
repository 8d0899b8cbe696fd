package minion_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// Middleware runs around every attempt.
func ExampleUse() {
	b := memory.New()
	announce := func(next minion.Handler) minion.Handler {
		return func(ctx context.Context) error {
			info, _ := task.FromContext(ctx)
			fmt.Println("begin", info.Name, "attempt", info.Attempt)
			err := next(ctx)
			fmt.Println("end", info.Name, err)
			return err
		}
	}
	m, err := minion.New(b, minion.Use(announce))
	if err != nil {
		log.Fatal(err)
	}
	if err := RegisterTasks(m); err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()
	fmt.Println(AddTask.Call(context.Background(), arb, 1, 2))

	// Output:
	// begin simple_add attempt 1
	// end simple_add <nil>
	// 3 <nil>
}
