package minion_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A task of a later queue runs only if the earlier queues have none.
func ExampleQueues() {
	ctx := context.Background()
	b := memory.New()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	say := task.Define[Number, task.None]("say")
	var futs []*task.Future[task.None]
	for i, queue := range []string{"low", "high", "low", "high"} {
		fut, err := say.With(task.Queue(queue)).Apply(ctx, arb, Number{i})
		if err != nil {
			log.Fatal(err)
		}
		futs = append(futs, fut)
	}

	m, err := minion.New(b, minion.Queues("high", "low")) // or minion.Weighted(map[string]int{"high": 3, "low": 1})
	if err != nil {
		log.Fatal(err)
	}
	err = task.Handle(m, say, func(ctx context.Context, a Number) (task.None, error) {
		info, _ := task.FromContext(ctx)
		fmt.Println(info.Queue, a.N)
		return task.None{}, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 1) }() // with one slot the tasks run one after the other
	defer func() { _ = m.Close() }()
	for _, fut := range futs {
		if _, err := fut.Result(ctx); err != nil {
			log.Fatal(err)
		}
	}

	// Output:
	// high 1
	// high 3
	// low 0
	// low 2
}
