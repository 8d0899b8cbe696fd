package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/task"
)

// A task that waits for its due time is killed, and never starts.
func ExampleArbiter_Kill() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	fut, err := AddTask.With(task.Delay(time.Hour)).Apply(ctx, arb, 1, 2)
	if err != nil {
		log.Fatal(err)
	}
	verdict, err := arb.Kill(ctx, fut.ID())
	fmt.Println(verdict, err)
	_, err = fut.Result(ctx)
	fmt.Println(errors.Is(err, task.ErrCanceled))

	// Output:
	// never started <nil>
	// true
}
