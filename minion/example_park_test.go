package minion_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A minion of the old build gets a task that only the new build knows. It parks the task,
// and a minion of the new build takes it as soon as it starts.
func ExampleParkFor() {
	type args struct {
		Name string `arbiter:"name"`
	}
	var (
		hello  = task.Define[args, string]("hello")
		ctx    = context.Background()
		b      = memory.New()
		silent = minion.Logger(slog.New(slog.DiscardHandler))
	)
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		panic(err)
	}
	defer func() { _ = arb.Close() }()

	start := func(t task.Task[args, string]) *minion.Minion {
		m, err := minion.New(b, silent, minion.ParkFor(12*time.Hour))
		if err != nil {
			panic(err)
		}
		if err := task.Handle(m, t, func(_ context.Context, a args) (string, error) { return "hello, " + a.Name, nil }); err != nil {
			panic(err)
		}
		go func() { _ = m.Run(ctx, 1) }()
		return m
	}
	old := start(task.Define[args, string]("greet"))
	defer func() { _ = old.Close() }()

	fut, err := hello.Apply(ctx, arb, args{"world"})
	if err != nil {
		panic(err)
	}
	for {
		st, err := arb.Status(ctx, fut.ID())
		if err != nil {
			panic(err)
		}
		if st.State == broker.StateParked {
			fmt.Println(st.State)
			break
		}
		time.Sleep(time.Millisecond)
	}

	renewed := start(hello)
	defer func() { _ = renewed.Close() }()
	fmt.Println(fut.Result(ctx))
	// Output:
	// parked
	// hello, world <nil>
}
