package task_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

var silent = slog.New(slog.DiscardHandler)

// Tasks that are sent on success are stored in one step with the success of the attempt. Here the
// first attempt sends a task and fails, so only the task of the second attempt is stored.
func ExampleOnSuccess() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, minion.Logger(silent), minion.Retry(1, task.Constant(0)))
	if err != nil {
		log.Fatal(err)
	}
	type pageArgs struct {
		Page string `arbiter:"page"`
	}
	publish := task.Define[pageArgs, task.None]("publish")
	notify := task.Define[pageArgs, task.None]("notify")
	notified := make(chan string, 2)
	err = errors.Join(
		task.Handle(m, publish, func(ctx context.Context, a pageArgs) (task.None, error) {
			fut, err := notify.Apply(ctx, task.OnSuccess(ctx), a)
			if err != nil {
				return task.None{}, err
			}
			_, err = fut.Result(ctx)
			fmt.Println(errors.Is(err, task.ErrNotSubmitted))
			if info, _ := task.FromContext(ctx); info.Attempt == 1 {
				return task.None{}, errors.New("the disk is full")
			}
			return task.None{}, nil
		}),
		task.Handle(m, notify, func(_ context.Context, a pageArgs) (task.None, error) {
			notified <- a.Page
			return task.None{}, nil
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 1) }()
	defer func() { _ = m.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	_, err = publish.Call(ctx, arb, pageArgs{"news"})
	fmt.Println("published", err)
	fmt.Println("notified of", <-notified)

	// Output:
	// true
	// true
	// published <nil>
	// notified of news
}

// Killing a task kills the tasks that it has sent with Inherit.
func ExampleInherit() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, minion.Logger(silent))
	if err != nil {
		log.Fatal(err)
	}
	type none struct{}
	crawl := task.Define[none, task.None]("crawl")
	fetch := task.Define[none, task.None]("fetch", task.Inherit())
	started, ended := make(chan bool, 1), make(chan error, 1)
	err = errors.Join(
		task.Handle(m, crawl, func(ctx context.Context, _ none) (task.None, error) {
			info, _ := task.FromContext(ctx)
			return fetch.Call(ctx, info.Submitter, none{})
		}),
		task.Handle(m, fetch, func(ctx context.Context, _ none) (task.None, error) {
			started <- true
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return task.None{}, ctx.Err()
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 2) }()
	defer func() { _ = m.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	fut, err := crawl.Apply(ctx, arb, none{})
	if err != nil {
		log.Fatal(err)
	}
	<-started
	fmt.Println(arb.Kill(ctx, fut.ID(), arbiter.WaitAtMost(10*time.Second)))
	fmt.Println(<-ended)

	// Output:
	// stopped <nil>
	// canceled
}
