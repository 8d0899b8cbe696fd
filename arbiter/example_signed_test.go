package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The codec compresses and signs arguments, results and events. Minions refuse arguments that were not signed with the
// key, so write access to the broker is not enough to make them run a task.
func ExampleCodec_signed() {
	ctx := context.Background()
	b := memory.New()
	key := []byte("a secret of 16 bytes or more")
	signed, err := codec.Sign(codec.Compress(codec.Msgpack()), key)
	if err != nil {
		log.Fatal(err)
	}

	m, err := minion.New(b, minion.Codec(signed))
	if err != nil {
		log.Fatal(err)
	}
	if err := RegisterTasks(m); err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 1) }()
	defer func() { _ = m.Close() }()

	arb, err := arbiter.New(b, arbiter.Codec(signed))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	sum, err := AddTask.Call(ctx, arb, 1, 2)
	fmt.Println(sum, err)

	stranger, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	_, err = AddTask.Call(ctx, stranger, 1, 2)
	var failed *task.RemoteError
	fmt.Println(errors.As(err, &failed))

	// Output:
	// 3 <nil>
	// true
}
