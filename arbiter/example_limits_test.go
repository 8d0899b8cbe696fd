package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/limit"
)

// An operator changes a limit, and pauses it. Both have their effect at once, also for tasks that wait.
func ExampleArbiter_SetLimit() {
	ctx := context.Background()
	arb, err := arbiter.New(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	set := func(l limit.Limit) {
		if err := arb.SetLimit(ctx, "mails", l); err != nil {
			log.Fatal(err)
		}
	}
	set(limit.Rate("smtp", 100, time.Second))
	set(limit.Rate("smtp", 50, time.Second))
	set(limit.ForKey("acme", limit.Rate("smtp", 500, time.Second)))
	infos, err := arb.Limits(ctx, "mails")
	if err != nil {
		log.Fatal(err)
	}
	for _, info := range infos {
		set(limit.Paused(limit.Of(info.Limit)))
	}
	infos, err = arb.Limits(ctx, "mails")
	if err != nil {
		log.Fatal(err)
	}
	for _, info := range infos {
		fmt.Println(limit.Of(info.Limit))
	}

	// Output:
	// smtp: 50 per 1s, burst 2, paused
	// smtp for key "acme": 500 per 1s, burst 25, paused
}

// A program declares its limits when it starts. An operator has changed one of them, and that stays.
func ExampleArbiter_DeclareLimits() {
	ctx := context.Background()
	arb, err := arbiter.New(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	if err := arb.SetLimit(ctx, "mails", limit.Rate("smtp", 50, time.Second)); err != nil {
		log.Fatal(err)
	}
	err = arb.DeclareLimits(ctx, "mails", limit.Rate("smtp", 100, time.Second), limit.Concurrency("render", 10))
	if conflict, ok := errors.AsType[*limit.ConflictError](err); ok {
		fmt.Println(limit.Of(conflict.Declared), "is declared, and this counts:", limit.Of(conflict.Stored))
	}

	// Output:
	// smtp: 100 per 1s, burst 5 is declared, and this counts: smtp: 50 per 1s, burst 2
}
