package minion_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A minion has the limits of its queue in the code. It stores those that are not stored yet, before it takes a task.
func ExampleLimits() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, quiet, minion.Limits("default",
		limit.Concurrency("render", 10),
		limit.Rate("mail", 100, time.Second, limit.Burst(20)),
	))
	if err != nil {
		log.Fatal(err)
	}
	render := task.Define[Number, string]("render", task.Limit("render"))
	err = task.Handle(m, render, func(context.Context, Number) (string, error) { return "an image", nil })
	if err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()

	fmt.Println(render.Call(ctx, arb, Number{1}))
	infos, err := arb.Limits(ctx, "default")
	if err != nil {
		log.Fatal(err)
	}
	for _, info := range infos {
		fmt.Println(limit.Of(info.Limit))
	}

	// Output:
	// an image <nil>
	// mail: 100 per 1s, burst 20
	// render: 10 at once
}
