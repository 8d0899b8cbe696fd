package task_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A film takes three of the minion's four slots while it is rendered, so only one picture is
// scaled beside it.
func ExampleSlots() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, minion.Logger(silent))
	if err != nil {
		log.Fatal(err)
	}
	type fileArgs struct {
		File string `arbiter:"file"`
	}
	render := task.Define[fileArgs, task.None]("render", task.Slots(3))
	scale := task.Define[fileArgs, task.None]("scale")
	var scaling atomic.Int32
	err = errors.Join(
		task.Handle(m, render, func(context.Context, fileArgs) (task.None, error) {
			for range 10 {
				if n := scaling.Load(); n > 1 {
					fmt.Println(n, "pictures are scaled beside the film")
				}
				time.Sleep(time.Millisecond)
			}
			fmt.Println("rendered")
			return task.None{}, nil
		}),
		task.Handle(m, scale, func(context.Context, fileArgs) (task.None, error) {
			scaling.Add(1)
			defer scaling.Add(-1)
			time.Sleep(2 * time.Millisecond)
			return task.None{}, nil
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 4) }()
	defer func() { _ = m.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	calls := make([]task.Call[task.None], 20)
	for i := range calls {
		calls[i] = scale.Bind(fileArgs{fmt.Sprintf("%d.png", i)})
	}
	calls[5] = render.Bind(fileArgs{"film.mp4"})
	all, err := task.All(calls...).Send(ctx, arb)
	if err != nil {
		log.Fatal(err)
	}
	_, err = all.Result(ctx)
	fmt.Println("all done", err)

	// Output:
	// rendered
	// all done <nil>
}
