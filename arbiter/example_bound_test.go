package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/task"
)

// At most two tasks wait. The third call is refused. One that waits for room is sent when a minion has made some.
func ExampleArbiter_SetMaxWaiting() {
	ctx := context.Background()
	b := memory.New()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	if err := arb.SetMaxWaiting(ctx, "default", 2); err != nil {
		log.Fatal(err)
	}
	for n := range 3 {
		_, err := AddTask.Apply(ctx, arb, n, 1)
		if full, ok := errors.AsType[*task.FullError](err); ok {
			fmt.Println("call", n, "is refused:", full.Waiting, "tasks wait")
		}
	}

	done := make(chan struct{})
	go func() {
		defer close(done)
		fmt.Println(AddTask.With(task.WaitForRoom()).Call(ctx, arb, 3, 4))
	}()
	defer startMinion(b)()
	<-done

	// Output:
	// call 2 is refused: 2 tasks wait
	// 7 <nil>
}
