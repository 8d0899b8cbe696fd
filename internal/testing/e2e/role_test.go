//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// config is the configuration of a minion or an arbiter, in this process or another one.
type config struct {
	URL   string
	Lease time.Duration // 0 means the default

	Namespace string // "" means the default
	Queues    []string
	Slots     int
	Ledger    ledger
	Tasks     int    // of an arbiter: the number of its tasks
	Gate      string // of an arbiter: the second half of its tasks waits for this file
}

func (c config) open(ctx context.Context, log *slog.Logger, opts ...redis.Option) (*redis.Broker, error) {
	opts = append([]redis.Option{redis.Logger(log)}, opts...)
	if c.Lease > 0 {
		opts = append(opts, redis.Lease(c.Lease))
	}
	if c.Namespace != "" {
		opts = append(opts, redis.Namespace(c.Namespace))
	}
	// On a busy machine the first request may time out.
	for end := time.Now().Add(patience); ; {
		b, err := redis.Open(ctx, c.URL, opts...)
		if !errors.Is(err, broker.ErrIndeterminate) || ctx.Err() != nil || time.Now().After(end) {
			return b, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// serve runs a minion until ctx ends. It calls ready when the minion is about to run.
func (c config) serve(ctx context.Context, log *slog.Logger, ready func(), opts ...redis.Option) error {
	b, err := c.open(ctx, log, opts...)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	queues := c.Queues
	if len(queues) == 0 {
		queues = []string{task.DefaultQueue}
	}
	m, err := minion.New(b, minion.Queues(queues...), minion.Logger(log), minion.DrainTimeout(0))
	if err != nil {
		return err
	}
	if err := task.Handle(m, work, handler(c.Ledger)); err != nil {
		return err
	}
	ready()
	return m.Run(ctx, max(c.Slots, 1))
}

func minionRole(ctx context.Context, text json.RawMessage) error {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return c.serve(ctx, log, func() { fmt.Println("ready") })
}

// arbiterRole sends tasks, waits for them, and prints the number of results.
func arbiterRole(ctx context.Context, text json.RawMessage) error {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b, arbiter.Logger(log))
	if err != nil {
		return err
	}
	defer func() { _ = arb.Close() }()
	var ids []task.ID
	number := make(map[task.ID]int)
	for len(ids) < c.Tasks {
		calls := make([]task.Call[answer], min(500, c.Tasks-len(ids)))
		for i := range calls {
			a := args{N: len(ids) + i, For: 3 * time.Millisecond}
			if a.N >= c.Tasks/2 {
				a.Gate = c.Gate
			}
			calls[i] = work.Bind(a)
		}
		futs, err := task.SendAll(ctx, arb, calls...)
		if err != nil {
			return err
		}
		for _, f := range futs {
			number[f.ID()] = len(ids)
			ids = append(ids, f.ID())
		}
	}
	results := 0
	for st, err := range arb.WaitForTasks(ctx, ids...) {
		if err != nil {
			return fmt.Errorf("after %d results: %w", results, err)
		}
		var a answer
		if err := st.Decode(&a); err != nil {
			return err
		}
		n, ok := number[st.ID]
		if !ok || a.N != n || st.Retried != 0 {
			return fmt.Errorf("task %s: %+v with %d retries, want %d; awaited: %v", st.ID, a, st.Retried, n, ok)
		}
		delete(number, st.ID) // a second result of the task is an error
		results++
	}
	if len(number) > 0 {
		return errors.New("the wait ended before all results had arrived")
	}
	fmt.Printf("%d results\n", results)
	return nil
}
