package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// The functions here move a task with plain commands on keys like those of a queue: the task has a
// state by its id, and is not lost if its worker dies. There is no script, so there are no checks
// of ownership, duplicates or cancellation. A batch is a pipeline.
const (
	keysState = "bench:state" // hash of id -> outcome
	keysInbox = "bench:inbox" // channel
)

// moveKeys stores, claims and settles records of size bytes.
func moveKeys(size int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		n, batch := moved(t, size)
		record := strings.Repeat("x", size)
		began := time.Now()
		filler := *t
		filler.limit = extra
		if _, _, err := filler.spread(ctx, bulkCallers, batch, n, func(ctx context.Context, n int) error {
			return keysStore(ctx, t.srv.client, record, n)
		}); err != nil {
			return nil, err
		}
		const workers = 2
		errs := make([]error, workers)
		done := make([]int, workers)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() { done[w], errs[w] = keysWork(ctx, t.srv.client, fmt.Sprint("bench:claim:", w), batch) })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return nil, err
			}
		}
		return megabytes(done[0]+done[1], n, size, time.Since(began))
	}
}

func keysStore(ctx context.Context, c *redis.Client, record string, n int) error {
	states, records := make([]any, 0, 2*n), make([]any, n)
	for i := range n {
		id := broker.NewTaskID("", "")
		states = append(states, id[:], "")
		records[i] = string(id[:]) + record
	}
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, keysState, states...)
		p.RPush(ctx, listKey, records...)
		return nil
	})
	return err
}

// keysWork claims and settles until the queue is empty.
func keysWork(ctx context.Context, c *redis.Client, claim string, batch int) (done int, err error) {
	for {
		moves := make([]*redis.StringCmd, batch)
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := range moves {
				moves[i] = p.LMove(ctx, listKey, claim, "LEFT", "RIGHT")
			}
			return nil
		})
		if err != nil && err != redis.Nil {
			return done, err
		}
		var states []any
		for _, m := range moves {
			if msg, err := m.Result(); err == nil {
				states = append(states, msg[:16], "succeeded")
			}
		}
		if len(states) == 0 {
			return done, nil
		}
		_, err = c.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.HSet(ctx, keysState, states...)
			p.Publish(ctx, keysInbox, strings.Repeat("x", 50*len(states)/2))
			p.LTrim(ctx, claim, int64(len(states)/2), -1)
			return nil
		})
		if err != nil {
			return done, err
		}
		done += len(states) / 2
	}
}
