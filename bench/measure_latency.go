package main

import (
	"context"
	"fmt"
	"time"
)

const (
	latencySlots = 10
	warmUp       = 10                   // number of first samples that are ignored
	breath       = 2 * time.Millisecond // pause between samples, until all workers are idle again
)

// pickup measures the time from the call that enqueues a task until its handler starts. The workers
// are idle.
func pickup(ctx context.Context, t *trial) ([]float64, error) {
	started := make(chan time.Time, 1)
	stop, err := t.sys.Work(ctx, latencySlots, func(x, y int) int {
		select {
		case started <- time.Now():
		default: // the task was executed twice
		}
		return x + y
	})
	if err != nil {
		return nil, err
	}
	defer stop()
	return t.sample(ctx, func() (time.Duration, error) {
		began := time.Now()
		if err := t.sys.Enqueue(ctx, 0, 1); err != nil {
			return 0, err
		}
		select {
		case at := <-started:
			return at.Sub(began), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
}

// roundtrip measures the time from submitting a task until its result is there.
func roundtrip(ctx context.Context, t *trial) ([]float64, error) {
	r, ok := t.sys.(resulter)
	if !ok {
		return nil, errNone
	}
	stop, err := t.sys.Work(ctx, latencySlots, func(x, y int) int { return x + y })
	if err != nil {
		return nil, err
	}
	defer stop()
	return t.sample(ctx, func() (time.Duration, error) {
		began := time.Now()
		res, err := r.Start(ctx, 1)
		if err == nil {
			err = res.Await(ctx)
		}
		return time.Since(began), err
	})
}

// sample takes t.samples samples, or as many as the time allows, and returns their p50 and p99.
func (t *trial) sample(ctx context.Context, take func() (time.Duration, error)) ([]float64, error) {
	if err := pause(ctx, 50*time.Millisecond); err != nil { // until the workers are ready
		return nil, err
	}
	var all []time.Duration
	warm := warmUp
	for end := time.Now().Add(t.limit); len(all) < t.samples && (len(all) == 0 || time.Now().Before(end)); {
		took, err := take()
		if err != nil {
			return nil, err
		}
		if warm > 0 && time.Until(end) > t.limit/2 {
			warm--
		} else {
			all = append(all, took)
		}
		if err := pause(ctx, breath); err != nil {
			return nil, err
		}
	}
	if len(all) < t.samples/2 {
		t.note = fmt.Sprintf("%d of %d samples within the time limit", len(all), t.samples)
	}
	return []float64{percentile(all, 50), percentile(all, 99)}, nil
}
