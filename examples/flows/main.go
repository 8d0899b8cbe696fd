// Flows shows groups and pipes in one process.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/examples/tasks"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	b := memory.New()
	defer func() { _ = b.Close() }()
	m, err := minion.New(b)
	if err != nil {
		return err
	}
	if err := tasks.RegisterTasks(m); err != nil {
		return err
	}
	go func() { _ = m.Run(ctx, 3) }()
	defer func() { _ = m.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		return err
	}
	defer func() { _ = arb.Close() }()

	// A pipe: each step gets the result of the step before it.
	pipe := task.Then(tasks.AddTask.Bind(1, 2), tasks.IncreaseTask.Step(10))
	fut, err := pipe.Send(ctx, arb)
	if err != nil {
		return err
	}
	n, err := fut.Result(ctx)
	if err != nil {
		return err
	}
	fmt.Println("1 + 2, increased by 10, is", n)

	// A group, and a step that gets all its results.
	total := task.Then(task.All(tasks.AddTask.Bind(1, 2), tasks.AddTask.Bind(3, 4), pipe.With()), tasks.TotalTask.Step())
	if fut, err = total.Send(ctx, arb); err != nil {
		return err
	}
	if n, err = fut.Result(ctx); err != nil {
		return err
	}
	fmt.Println("the total is", n)

	// A group with a handle: its members as soon as they are done, a callback once all are, and
	// a finalizer that always runs after all else.
	g, err := arbiter.GroupOf(ctx, arb, []task.Call[int]{tasks.AddTask.Bind(1, 1), tasks.AddTask.Bind(2, 2)},
		arbiter.Callback(tasks.AddTask.Bind(5, 6)),
		arbiter.Finalizer(tasks.AddTask.Bind(7, 8), time.Minute))
	if err != nil {
		return err
	}
	for st, err := range g.WaitForMembers(ctx) {
		if err != nil {
			return err
		}
		fmt.Println("a member is", st.State)
	}
	results, err := g.Results(ctx) // in the order given
	if err != nil {
		return err
	}
	fmt.Println("their results are", results)
	return nil
}
