package arbiter_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/task"
)

// During a deployment, the tasks of a queue wait. Tasks can be sent meanwhile, and start when the queue is resumed.
func ExampleArbiter_PauseQueue() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	if err := arb.PauseQueue(ctx, "default"); err != nil {
		log.Fatal(err)
	}
	sum, err := AddTask.Apply(ctx, arb, 3, 7)
	if err != nil {
		log.Fatal(err)
	}
	st, err := arb.Status(ctx, sum.ID())
	fmt.Println(st.State, err)

	if err := arb.ResumeQueue(ctx, "default"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum.Result(ctx))

	// Output:
	// pending <nil>
	// 10 <nil>
}

// The tasks of one name wait, because of a fault in their handler. Others of the queue go on.
func ExampleArbiter_PauseTask() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	name := AddTask.Name()
	if err := arb.PauseTask(ctx, "default", name); err != nil {
		log.Fatal(err)
	}
	infos, err := arb.Pauses(ctx, "default")
	if err != nil {
		log.Fatal(err)
	}
	for _, info := range infos {
		fmt.Println(info.Task, "is paused, since today:", time.Since(info.Since) < 24*time.Hour)
	}
	if err := arb.ResumeTask(ctx, "default", name); err != nil {
		log.Fatal(err)
	}

	// Output:
	// simple_add is paused, since today: true
}

// The tasks of one tenant wait, and those of others go on.
func ExampleArbiter_PauseKey() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	if err := arb.PauseKey(ctx, "default", "acme"); err != nil {
		log.Fatal(err)
	}
	acme, err := AddTask.With(task.FairKey("acme")).Apply(ctx, arb, 1, 2)
	if err != nil {
		log.Fatal(err)
	}
	other, err := AddTask.With(task.FairKey("other")).Apply(ctx, arb, 3, 4)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(other.Result(ctx))
	st, err := arb.Status(ctx, acme.ID())
	fmt.Println(st.State, err)
	if err := arb.ResumeKey(ctx, "default", "acme"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(acme.Result(ctx))

	// Output:
	// 7 <nil>
	// pending <nil>
	// 3 <nil>
}
