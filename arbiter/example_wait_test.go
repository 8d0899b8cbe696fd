package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/task"
)

// The loop goes on after an unknown id, and can be left at any time.
func ExampleArbiter_WaitForTasks() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	ids, err := arb.Apply(ctx, "simple_add", arbiter.Args(1, 2))
	if err != nil {
		log.Fatal(err)
	}
	unknown := broker.NewID(broker.KindTask, "default", 0)
	done, missing := 0, 0
	for st, err := range arb.WaitForTasks(ctx, append(ids, unknown)...) {
		switch {
		case errors.Is(err, task.ErrNotFound):
			missing++
		case err != nil: // the context has ended, or the arbiter was closed
			log.Fatal(err)
		case st.Err() != nil:
			fmt.Println("failed:", st.Err())
		default:
			done++
		}
	}
	fmt.Println(done, "done,", missing, "unknown")

	// Output: 1 done, 1 unknown
}

// Many calls in one round trip.
func ExampleArbiter_Submit() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	calls := make([]task.Call[int], 100)
	for i := range calls {
		calls[i] = AddTask.Bind(i, i)
	}
	futs, err := task.SendAll(ctx, arb, calls...)
	if err != nil {
		log.Fatal(err)
	}
	total := 0
	for _, fut := range futs {
		sum, err := fut.Result(ctx)
		if err != nil {
			log.Fatal(err)
		}
		total += sum
	}
	fmt.Println(total)

	// Output: 9900
}
