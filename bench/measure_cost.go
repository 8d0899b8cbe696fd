package main

import (
	"context"
	"errors"
	"time"
)

// bytesPending is the memory of the server that a waiting task takes.
func bytesPending(ctx context.Context, t *trial) ([]float64, error) {
	// The first task makes connections and keys, which are not the tasks' own.
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
		return nil, errors.New("nothing was stored within the time limit")
	}
	return []float64{(after - before) / float64(n)}, nil
}

// idleCommands is how many commands a second a worker with ten slots issues
// that has nothing to do.
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
