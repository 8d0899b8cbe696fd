package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// AddArgs are the arguments of AddTask. Usually arbitergen writes this type and
// the handle, from an annotated function.
type AddArgs struct {
	X int `arbiter:"x"`
	Y int `arbiter:"y"`
}

// AddTask is the handle of the task simple_add.
var AddTask = task.Define[AddArgs, int]("simple_add")

func add(_ context.Context, a AddArgs) (int, error) { return a.X + a.Y, nil }

// startMinion runs a minion for the examples, until its stop is called.
func startMinion(b *memory.Broker) (stop func()) {
	m := minion.New(b, minion.Queue("default"))
	if err := task.Handle(m, AddTask, add); err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := m.Run(context.Background(), 3); err != nil && !errors.Is(err, task.ErrClosed) {
			log.Print(err)
		}
	}()
	return func() { _ = m.Close() }
}

// The scenario of the original Arbiter: a minion, an arbiter, a task.
func Example() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()

	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	// Typed: send it and get a future, ...
	fut, err := AddTask.Apply(ctx, arb, AddArgs{1, 2})
	if err != nil {
		log.Fatal(err)
	}
	sum, err := fut.Result(ctx)
	fmt.Println(sum, err)

	// ... or both in one.
	sum, err = AddTask.Call(ctx, arb, AddArgs{3, 4})
	fmt.Println(sum, err)

	// Output:
	// 3 <nil>
	// 7 <nil>
}
