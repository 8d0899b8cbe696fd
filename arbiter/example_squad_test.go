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

// The minion has three slots. A squad of three starts, all members at once; a squad of four does not start.
func ExampleArbiter_Squad() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	calls := task.Calls(AddTask.Bind(1, 2), AddTask.Bind(3, 4), AddTask.Bind(5, 6))
	squad, err := arb.Squad(ctx, calls, arbiter.WaitForWorkers(10*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	var sums []int
	err = squad.Result(ctx, &sums)
	fmt.Println(sums, err)

	_, err = arb.Squad(ctx, append(calls, AddTask.Bind(7, 8)))
	if short, ok := errors.AsType[*arbiter.NotEnoughWorkersError](err); ok {
		fmt.Println(short.Queues[0].Wanted, "wanted,", short.Queues[0].Total, "there")
	}

	// Output:
	// [3 7 11] <nil>
	// 4 wanted, 3 there
}
