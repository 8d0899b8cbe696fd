package task_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/task"
)

// Six reports are due tomorrow, ten minutes apart.
func ExampleSpread() {
	ctx := context.Background()
	arb, err := arbiter.New(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	type reportArgs struct {
		Region int `arbiter:"region"`
	}
	tomorrow := time.Now().Add(24 * time.Hour)
	report := task.Define[reportArgs, task.None]("report", task.ETA(tomorrow), task.Spread(time.Hour))

	calls := make([]task.Call[task.None], 6)
	for i := range calls {
		calls[i] = report.Bind(reportArgs{i})
	}
	futs, err := task.SendAll(ctx, arb, calls...)
	if err != nil {
		log.Fatal(err)
	}
	for _, fut := range futs {
		st, err := arb.Status(ctx, fut.ID())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(st.Due.Sub(tomorrow).Round(time.Minute), " ")
	}

	// Output: 0s 10m0s 20m0s 30m0s 40m0s 50m0s
}
