// Command arbiter submits tasks and prints their results. Its counterpart, which executes them, is examples/seed/minion.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/redis"
)

func main() {
	url := flag.String("broker", "redis://localhost:6379/0", "the address of the broker")
	count := flag.Int("count", 1, "how many tasks to start")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *url, *count); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string, count int) error {
	b, err := redis.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		return err
	}
	defer func() { _ = arb.Close() }()

	ids, err := arb.Apply(ctx, "simple_add", arbiter.Args(1, 2), arbiter.Count(count))
	if err != nil {
		return err
	}
	for st, err := range arb.WaitForTasks(ctx, ids...) {
		if err != nil {
			return err
		}
		var sum int
		if err := st.Decode(&sum); err != nil {
			return err
		}
		fmt.Printf("%s = %d\n", st.ID, sum)
	}
	st, err := arb.Status(ctx, ids[0])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(st)
}
