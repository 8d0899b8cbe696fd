package arbiter_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/task"
)

// AddInPipe adds up its parameters. The first step of a pipe has no upstream.
//
//arbiter:task name=add_in_pipe optional=upstream default=y:4
func AddInPipe(_ context.Context, x, y, upstream int) (int, error) { return x + y + upstream, nil }

// A function with an optional parameter upstream can be the first step of a pipe and any later one. A call by name may
// leave out a parameter with a default.
func ExampleArbiter_Pipe_optional() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	step := arbiter.Named("add_in_pipe", arbiter.Args(1))
	p, err := arb.Pipe(ctx, []task.Bound{step, step, step})
	if err != nil {
		log.Fatal(err)
	}
	for st, err := range p.WaitForMembers(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(st.Result())
	}

	// The same with types, where every parameter is given.
	later := AddInPipeTask.Step(1, 4)
	fut, err := task.Then(task.Then(AddInPipeTask.Bind(1, 4, 0), later), later).Send(ctx, arb)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fut.Result(ctx))

	// Output:
	// 5 <nil>
	// 10 <nil>
	// 15 <nil>
	// 15 <nil>
}
