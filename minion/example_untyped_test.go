package minion_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A handler can be registered by name, for arguments whose type is not known.
func ExampleMinion_untyped() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b)
	if err != nil {
		log.Fatal(err)
	}
	err = task.HandleFunc(m, "count", func(_ context.Context, args codec.Arguments) (any, error) {
		return len(args.Positional) + len(args.Named), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()
	done, err := arb.ApplySync(ctx, "count", arbiter.Args("a", 2, nil))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done[0].Result())

	// Output: 3 <nil>
}
