package arbiter_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
)

func ExampleArbiter_Listen() {
	ctx := context.Background()
	arb, err := arbiter.New(memory.New())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	for _, city := range []string{"Oslo", "Lima", "Pune"} {
		if err := arb.Emit(ctx, "cities", city); err != nil {
			log.Fatal(err)
		}
	}
	for ev, err := range arb.Listen(ctx, "cities", broker.CursorStart) {
		if err != nil {
			log.Fatal(err)
		}
		var city string
		if err := ev.Decode(&city); err != nil {
			log.Fatal(err)
		}
		fmt.Println(city)
		if city == "Pune" {
			break
		}
	}

	// Output:
	// Oslo
	// Lima
	// Pune
}
