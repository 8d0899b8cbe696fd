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

// A unique key belongs to its task. Tasks that exclude each other name a common scope. The error of a refused call names
// the task that has the key.
func Example_unique() {
	ctx := context.Background()
	b := memory.New() // without a minion, so the first call of each stays pending
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	type order struct {
		ID int `arbiter:"id"`
	}
	sent := make(map[task.ID]string)
	send := func(name string, opts ...task.Option) {
		fut, err := task.Define[order, task.None](name, opts...).Apply(ctx, arb, order{42})
		var held *task.DuplicateError
		switch {
		case errors.As(err, &held):
			scope, key := held.Unique()
			fmt.Println(name, "is refused:", sent[held.Holder], "has", key, "of", scope)
		case err != nil:
			log.Fatal(err)
		default:
			sent[fut.ID()] = fmt.Sprintf("task %d", len(sent)+1)
			fmt.Println(name, "is sent:", sent[fut.ID()])
		}
	}
	send("invoice", task.Unique("order-42"))
	send("invoice", task.Unique("order-42"))
	send("ship", task.Unique("order-42")) // another task, another key
	send("charge", task.UniqueIn("payment", "order-42"))
	send("refund", task.UniqueIn("payment", "order-42"))

	// Output:
	// invoice is sent: task 1
	// invoice is refused: task 1 has order-42 of invoice
	// ship is sent: task 2
	// charge is sent: task 3
	// refund is refused: task 3 has order-42 of payment
}
