// Command minion executes the tasks of the examples: the first half of the
// seed's scenario. Start as many as you like, and arbiter beside them.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/examples/tasks"
	"github.com/go-arbiter/arbiter/minion"
)

func main() {
	url := flag.String("broker", "redis://localhost:6379/0", "where the tasks are")
	queue := flag.String("queue", "default", "which queue to serve")
	workers := flag.Int("workers", 3, "how many tasks to run at once")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *url, *queue, *workers); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, queue string, workers int) error {
	b, err := redis.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	m := minion.New(b, minion.Queue(queue))
	if err := tasks.RegisterTasks(m); err != nil {
		return err
	}
	log.Printf("minion is ready: queue %s, %d workers", queue, workers)
	return m.Run(ctx, workers)
}
