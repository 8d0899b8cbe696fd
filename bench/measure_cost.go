package main

import (
	"context"
	"errors"
	"time"
)

// bytesPending measures the memory of the server that a waiting task takes.
func bytesPending(ctx context.Context, t *trial) ([]float64, error) {
	// The first task creates connections and keys, which do not count as memory of a task.
	if err := t.sys.Enqueue(ctx, 0, 1); err != nil {
		return nil, err
	}
	before, err := t.srv.info(ctx, "memory", "used_memory")
	if err != nil {
		return nil, err
	}
	n, _, err := t.fill(ctx, t.n)
	if err != nil {
		return nil, err
	}
	after, err := t.srv.info(ctx, "memory", "used_memory")
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("no task was stored within the time limit")
	}
	return []float64{(after - before) / float64(n)}, nil
}

// idleCommands counts the commands a second of an idle worker with ten slots.
func idleCommands(ctx context.Context, t *trial) ([]float64, error) {
	stop, err := t.sys.Work(ctx, latencySlots, func(x, y int) int { return x + y })
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := pause(ctx, min(t.idle/2, 2*time.Second)); err != nil {
		return nil, err
	}
	n, err := t.srv.commands(ctx, t.idle)
	return []float64{float64(n) / t.idle.Seconds()}, err
}
