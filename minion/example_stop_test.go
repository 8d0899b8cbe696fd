package minion_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A minion that stops lets running tasks finish for a while. The others go back to the queue.
func ExampleDrainTimeout() {
	ctx := context.Background()
	b := memory.New()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	m, err := minion.New(b, minion.DrainTimeout(100*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	started := make(chan struct{}, 2)
	nap := task.Define[Number, string]("nap")
	err = task.Handle(m, nap, func(ctx context.Context, a Number) (string, error) {
		started <- struct{}{}
		select {
		case <-time.After(time.Duration(a.N) * time.Millisecond):
			return "rested", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 2) }()
	short, err := nap.Apply(ctx, arb, Number{10})
	if err != nil {
		log.Fatal(err)
	}
	long, err := nap.Apply(ctx, arb, Number{1000 * 1000})
	if err != nil {
		log.Fatal(err)
	}
	<-started
	<-started

	fmt.Println(m.Stop(ctx))
	fmt.Println(short.Result(ctx))
	st, err := arb.Status(ctx, long.ID())
	fmt.Println(st.State, err)

	// Output:
	// <nil>
	// rested <nil>
	// pending <nil>
}
