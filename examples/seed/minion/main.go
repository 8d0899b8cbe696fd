// Command minion executes the tasks of the examples. Its counterpart, which submits them, is examples/seed/arbiter. Several
// minions can run at once.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/examples/tasks"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func main() {
	url := flag.String("broker", "redis://localhost:6379/0", "the address of the broker")
	queue := flag.String("queue", "default", "the queue to serve")
	workers := flag.Int("workers", 3, "how many tasks to run at once")
	sleep := flag.Duration("sleep", 0, "how long to sleep in each task before it is done, such as 10s")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *url, *queue, *workers, *sleep); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, queue string, workers int, sleep time.Duration) error {
	b, err := redis.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	m, err := minion.New(b, minion.Queue(queue), minion.Use(slowly(sleep)))
	if err != nil {
		return err
	}
	if err := tasks.RegisterTasks(m); err != nil {
		return err
	}
	log.Printf("minion is ready: queue %s, %d workers", queue, workers)
	return m.Run(ctx, workers)
}

// slowly makes each attempt sleep first, and logs its begin and its end. So one can see what happens to a task whose minion
// is killed.
func slowly(sleep time.Duration) minion.Middleware {
	return func(next minion.Handler) minion.Handler {
		if sleep <= 0 {
			return next
		}
		return func(ctx context.Context) error {
			info, _ := task.FromContext(ctx)
			log.Printf("attempt %d of %s begins", info.Attempt, info.ID)
			select {
			case <-time.After(sleep):
			case <-ctx.Done():
				return ctx.Err()
			}
			err := next(ctx)
			log.Printf("attempt %d of %s is done", info.Attempt, info.ID)
			return err
		}
	}
}
