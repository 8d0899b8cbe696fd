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

// An operator sees which task has a key, and until when it is held, and can free it.
func ExampleArbiter_FreeKey() {
	ctx := context.Background()
	arb, err := arbiter.New(memory.New()) // without a minion, so the task stays pending
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	type order struct {
		ID int `arbiter:"id"`
	}
	invoice := task.Define[order, task.None]("invoice", task.UniqueArgs(), task.UniqueFor(time.Hour))
	call := invoice.Bind(order{42})
	fut, err := call.Send(ctx, arb)
	if err != nil {
		log.Fatal(err)
	}

	st, err := arb.KeyHolder(ctx, call)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("it has the key:", st.Holder == fut.ID(), "for an hour:", st.Until.Sub(st.Since) == time.Hour)

	if _, err := arb.FreeKey(ctx, call); err != nil {
		log.Fatal(err)
	}
	_, err = arb.KeyHolder(ctx, task.Named("invoice", task.Args(42))) // without options it has no key
	fmt.Println(err)
	st, err = arb.KeyHolder(ctx, invoice.Bind(order{42}))
	fmt.Println("the key is free:", st.Holder.IsZero(), err)

	// Output:
	// it has the key: true for an hour: true
	// key holder: task invoice: invalid: the call has no unique key; give it one with Unique, UniqueIn or UniqueArgs
	// the key is free: true <nil>
}
