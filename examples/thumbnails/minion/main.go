// Command minion makes the thumbnails that the program api submits.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/examples/thumbnails/worker"
	"github.com/go-arbiter/arbiter/minion"
)

func main() {
	url := flag.String("broker", "redis://localhost:6379/0", "the address of the broker")
	workers := flag.Int("workers", 3, "how many tasks to run at once")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *url, *workers); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string, workers int) error {
	b, err := redis.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	m, err := minion.New(b)
	if err != nil {
		return err
	}
	if err := worker.RegisterTasks(m); err != nil {
		return err
	}
	log.Printf("minion is ready: %d workers", workers)
	return m.Run(ctx, workers)
}
