package task_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A handler sends a task by its name, waits for it, and emits an event, all with the Info in its
// context. It imports only package task.
func ExampleNamed() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, minion.Logger(silent))
	if err != nil {
		log.Fatal(err)
	}
	type pair struct {
		X int `arbiter:"x"`
		Y int `arbiter:"y"`
	}
	type none struct{}
	add := task.Define[pair, int]("simple_add")
	report := task.Define[none, string]("report")
	err = errors.Join(
		task.Handle(m, add, func(_ context.Context, p pair) (int, error) { return p.X + p.Y, nil }),
		task.Handle(m, report, func(ctx context.Context, _ none) (string, error) {
			info, _ := task.FromContext(ctx)
			sum, err := task.Named("simple_add", task.Args(1, 2)).Call(ctx, info)
			if err != nil {
				return "", err
			}
			if err := info.Emit(ctx, "reports", sum); err != nil {
				return "", err
			}
			return fmt.Sprint("the sum is ", sum), nil
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

	fmt.Println(report.Call(ctx, arb, none{}))
	for event, err := range arb.Listen(ctx, "reports", broker.CursorStart) {
		var sum int
		fmt.Println(event.Topic, errors.Join(err, event.Decode(&sum)), sum)
		break
	}

	// Output:
	// the sum is 3 <nil>
	// reports <nil> 3
}

// The error of a wait tells why the task is not done.
func ExampleWaitError() {
	b := memory.New()
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = task.Named("simple_add", task.Args(1, 2), task.Queue("defoult")).Call(ctx, arb)
	if wait, ok := errors.AsType[*task.WaitError](err); ok {
		fmt.Println(wait.Name, wait.State, wait.Queue)
		fmt.Println(wait.Reason)
	}
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, task.ErrNoMinion))

	// Output:
	// simple_add pending defoult
	// it is pending in queue "defoult", which no living minion serves (there is no living minion)
	// true true
}
