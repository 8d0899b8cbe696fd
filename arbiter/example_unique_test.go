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

// A unique key belongs to its task; tasks that exclude each other name a scope.
func Example_unique() {
	ctx := context.Background()
	b := memory.New() // without a minion: the first call of each waits
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	type order struct {
		ID int `arbiter:"id"`
	}
	send := func(name string, opts ...task.Option) {
		_, err := task.Define[order, task.None](name, opts...).Apply(ctx, arb, order{42})
		var dup *task.DuplicateError
		switch {
		case errors.As(err, &dup):
			scope, key := dup.Unique()
			fmt.Println(name, "is refused:", key, "of", scope)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println(name, "is sent")
		}
	}
	send("invoice", task.Unique("order-42"))
	send("invoice", task.Unique("order-42"))
	send("ship", task.Unique("order-42")) // another task, another key
	send("charge", task.UniqueIn("payment", "order-42"))
	send("refund", task.UniqueIn("payment", "order-42"))

	// Output:
	// invoice is sent
	// invoice is refused: order-42 of invoice
	// ship is sent
	// charge is sent
	// refund is refused: order-42 of payment
}
