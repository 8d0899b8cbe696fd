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

// idleMinions counts the commands of each of many idle minions of one queue. Each minion has its
// own broker, and so its own connections, as in a process of its own.
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
			m, err := minion.New(b)
			if err != nil {
				return nil, err
			}
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

// The dying minions have a short lease, so that the measure does not take long.
const (
	deadLease = 2 * time.Second
	deadTasks = 10 // tasks that each minion holds
)

// recoverMinions measures the CPU time of Redis for each of many minions that die at once, until
// another minion has executed their tasks.
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
		for range minions { // these consumers never send a heartbeat
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
		m, err := minion.New(b)
		if err != nil {
			return nil, err
		}
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
			return nil, fmt.Errorf("%d of %d tasks were executed, and %d had been held", done, n, held)
		}
		return []float64{(after - before) * 1000 / float64(minions)}, nil
	}
}
