package minion_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The cause of a handler's context says why the context has ended.
func ExampleMinion_Run_context() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, quiet, minion.Retry(0, nil))
	if err != nil {
		log.Fatal(err)
	}
	started := make(chan struct{}, 2)
	endless := task.Define[Number, task.None]("endless")
	err = task.Handle(m, endless, func(ctx context.Context, _ Number) (task.None, error) {
		started <- struct{}{}
		<-ctx.Done()
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, task.ErrCanceled):
			fmt.Println("somebody killed it")
		case errors.Is(cause, task.ErrTimeout):
			fmt.Println("it took too long")
		}
		return task.None{}, ctx.Err()
	})
	if err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()

	_, err = endless.With(task.Timeout(10*time.Millisecond)).Call(ctx, arb, Number{})
	fmt.Println(errors.Is(err, task.ErrTimeout))
	<-started

	fut, err := endless.Apply(ctx, arb, Number{})
	if err != nil {
		log.Fatal(err)
	}
	<-started
	fmt.Println(arb.Kill(ctx, fut.ID(), arbiter.Wait()))

	// Output:
	// it took too long
	// true
	// somebody killed it
	// stopped <nil>
}
