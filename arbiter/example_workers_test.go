package arbiter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
)

func ExampleArbiter_Workers() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	// The minion has registered by the time it has run a task.
	if _, err := AddTask.Call(ctx, arb, 1, 2); err != nil {
		log.Fatal(err)
	}

	workers, err := arb.Workers(ctx)
	if err != nil {
		log.Fatal(err)
	}
	data, err := json.Marshal(workers)
	fmt.Println(string(data), err)

	// Output: {"default":{"total":3,"active":0,"available":3}} <nil>
}
