package minion_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// Rules decide what follows from certain errors, so that handlers need not mark them.
func ExampleOnError() {
	ctx := context.Background()
	errNoUser, errBusy := errors.New("no such user"), errors.New("busy")
	b := memory.New()
	m, err := minion.New(b, quiet, minion.OnError(
		task.ErrIs(errNoUser, task.ErrPanic).NoRetry(),  // would fail again
		task.ErrIs(errBusy).Snooze(10*time.Millisecond), // is no failure
	))
	if err != nil {
		log.Fatal(err)
	}
	greet := task.Define[Number, string]("greet")
	runs := 0
	err = task.Handle(m, greet, func(_ context.Context, a Number) (string, error) {
		if runs++; runs < 3 {
			return "", errBusy
		}
		if a.N < 0 {
			return "", fmt.Errorf("greet %d: %w", a.N, errNoUser)
		}
		return "hello", nil
	})
	if err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()
	fmt.Println(greet.Call(ctx, arb, Number{1}))
	_, err = greet.Call(ctx, arb, Number{-1})
	fmt.Println(err)

	// Output:
	// hello <nil>
	// task greet: greet -1: no such user
}
