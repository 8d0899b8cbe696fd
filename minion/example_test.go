package minion_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
)

//go:generate go tool arbitergen

// Add returns x + y. Its handle is AddTask, in the generated file.
//
//arbiter:task name=simple_add
func Add(_ context.Context, x, y int) (int, error) { return x + y, nil }

// Number is the argument of the other tasks in these examples.
type Number struct {
	N int `arbiter:"n"`
}

// scene makes an arbiter, and runs a minion until the returned function is called.
func scene(b *memory.Broker, m *minion.Minion) (arb *arbiter.Arbiter, end func()) {
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.Run(ctx, 3); err != nil {
			log.Print(err)
		}
	}()
	return arb, func() {
		cancel()
		<-done
		_ = arb.Close()
	}
}

// A minion with a task and three slots runs the call of an arbiter.
func Example() {
	b := memory.New()
	m, err := minion.New(b, minion.Queue("default"))
	if err != nil {
		log.Fatal(err)
	}
	if err := RegisterTasks(m); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- m.Run(ctx, 3) }()

	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	sum, err := AddTask.Call(ctx, arb, 1, 2)
	fmt.Println(sum, err)

	cancel() // the minion drains its work and stops
	fmt.Println(<-done)

	// Output:
	// 3 <nil>
	// <nil>
}
