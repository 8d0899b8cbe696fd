package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/minion"
)

// idleMinions is the idle traffic of each of many minions of one queue. Each
// has a broker, and so connections, of its own, as if it were a process.
func idleMinions(minions int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		var closers []func()
		defer func() {
			var wg sync.WaitGroup
			for _, f := range closers {
				wg.Go(f)
			}
			wg.Wait()
		}()
		for range minions {
			b, err := redis.Open(ctx, t.srv.url())
			if err != nil {
				return nil, err
			}
			m := minion.New(b)
			closers = append(closers, func() {
				_ = m.Close()
				_ = b.Close()
			})
			if err := registerAdd(m, func(x, y int) int { return x + y }); err != nil {
				return nil, err
			}
			go func() { _ = m.Run(ctx, latencySlots) }()
		}
		if err := pause(ctx, 2*time.Second+time.Duration(minions)*5*time.Millisecond); err != nil {
			return nil, err
		}
		n, err := t.srv.commands(ctx, t.idle)
		return []float64{float64(n) / t.idle.Seconds() / float64(minions)}, err
	}
}

// The minions that die have a short lease, so that nobody waits long.
const (
	deadLease = 2 * time.Second
	deadTasks = 10 // of each
)

// recoverMinions is the CPU time in Redis, for each of many minions, from when
// all of them die at once until another has executed what they held.
func recoverMinions(minions int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		n := minions * deadTasks
		if _, _, err := t.fill(ctx, n); err != nil {
			return nil, err
		}
		b, err := redis.Open(ctx, t.srv.url(), redis.Lease(deadLease))
		if err != nil {
			return nil, err
		}
		defer func() { _ = b.Close() }()
		held := 0
		for range minions { // none of them will ever send a heartbeat
			c, err := b.Consume(ctx, broker.ConsumerConfig{Queues: []string{"default"}, Slots: deadTasks})
			if err != nil {
				return nil, err
			}
			got, err := c.Dequeue(ctx, []string{"default"}, deadTasks, time.Second)
			if err != nil {
				return nil, err
			}
			held += len(got)
		}
		meter := newMeter(n)
		before, err := t.srv.cpu(ctx)
		if err != nil {
			return nil, err
		}
		m := minion.New(b)
		if err := registerAdd(m, meter.add); err != nil {
			return nil, err
		}
		go func() { _ = m.Run(ctx, pipelineSlots) }()
		done, _ := meter.wait(ctx, 30*time.Second)
		after, err := t.srv.cpu(ctx)
		if err != nil {
			return nil, err
		}
		_ = m.Close()
		if done < n {
			return nil, fmt.Errorf("%d of %d tasks came back, %d were held", done, n, held)
		}
		return []float64{(after - before) * 1000 / float64(minions)}, nil
	}
}
