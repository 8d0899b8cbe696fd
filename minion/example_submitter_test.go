package minion_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A handler sends tasks and waits for them. It lends its slot meanwhile, so this works even
// with a single slot.
func ExampleMinion_tasksWithinTasks() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b)
	if err != nil {
		log.Fatal(err)
	}
	sumTo := task.Define[Number, int]("sum_to")
	err = task.Handle(m, sumTo, func(ctx context.Context, a Number) (int, error) {
		info, _ := task.FromContext(ctx)
		total := 0
		for i := range a.N {
			sum, err := AddTask.Call(ctx, info.Submitter, total, i+1)
			if err != nil {
				return 0, err
			}
			total = sum
		}
		return total, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := RegisterTasks(m); err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()
	fmt.Println(sumTo.Call(ctx, arb, Number{4}))

	// Output: 10 <nil>
}
