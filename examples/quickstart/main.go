// Command quickstart submits tasks and executes them, all in one process. The broker is in memory, or Redis with
// -broker.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/examples/tasks"
	"github.com/go-arbiter/arbiter/minion"
)

func main() {
	url := flag.String("broker", "", "redis://host:port/db; without it the broker is in memory")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *url); err != nil {
		log.Fatal(err)
	}
}

func open(ctx context.Context, url string) (broker.Broker, error) {
	if url == "" {
		return memory.New(), nil
	}
	return redis.Open(ctx, url)
}

func run(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	b, err := open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()

	// A minion executes tasks.
	m, err := minion.New(b, minion.Queue("default"))
	if err != nil {
		return err
	}
	if err := tasks.RegisterTasks(m); err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- m.Run(work, 3) }()

	// An arbiter submits them and gets their results.
	if err := submit(ctx, b); err != nil {
		stop()
		return err
	}
	stop()
	return <-stopped
}

func submit(ctx context.Context, b broker.Broker) error {
	arb, err := arbiter.New(b)
	if err != nil {
		return err
	}
	defer func() { _ = arb.Close() }()

	for x := 1; x <= 3; x++ {
		sum, err := tasks.AddTask.Call(ctx, arb, x, x+1)
		if err != nil {
			return err
		}
		fmt.Printf("simple_add(%d, %d) = %d\n", x, x+1, sum)
	}
	return nil
}
