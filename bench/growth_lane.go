package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// laneLimit is the limit of the tasks in these measures, counted for each key. It is never reached,
// since what is measured is the cost of counting.
const laneLimit = "tenant"

// fillLanes stores n tasks with a key of fairness and a limit. key returns the key of the i-th.
func (s *ours) fillLanes(ctx context.Context, t *trial, n int, key func(i int) string) error {
	filler := *t
	filler.limit = extra
	var mu sync.Mutex
	next := 0
	sent, _, err := filler.spread(ctx, bulkCallers, bulkBatch, n, func(ctx context.Context, n int) error {
		mu.Lock()
		first := next
		next += n
		mu.Unlock()
		calls := bind(n)
		for i := range calls {
			k := key(first + i)
			calls[i] = calls[i].With(task.FairKey(k), task.Limit(laneLimit, task.KeyedBy(k)))
		}
		_, err := task.SendAll(ctx, s.arb, calls...)
		return err
	})
	if err == nil && sent < n {
		err = fmt.Errorf("%d of %d tasks were stored in time", sent, n)
	}
	return err
}

// drainLanes measures the rate at which the tasks of a queue with so many keys are executed, each of
// which has a limit. With 0 keys the tasks are plain ones, for comparison.
func drainLanes(keys int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		s, ok := t.sys.(*ours)
		if !ok {
			return nil, errNone
		}
		n := max(t.n, keys)
		if keys == 0 {
			filler := *t
			filler.limit = extra
			if _, _, err := filler.fill(ctx, n); err != nil {
				return nil, err
			}
		} else {
			if err := s.arb.SetLimit(ctx, task.DefaultQueue, limit.Concurrency(laneLimit, 10*pipelineSlots)); err != nil {
				return nil, err
			}
			if err := s.fillLanes(ctx, t, n, func(i int) string { return strconv.Itoa(i % keys) }); err != nil {
				return nil, err
			}
		}
		m := newMeter(n)
		stop, err := s.Work(ctx, pipelineSlots, m.add)
		if err != nil {
			return nil, err
		}
		defer stop()
		done, took := m.wait(ctx, extra)
		return t.rate(done, n, took)
	}
}

// smallKeys and smallTasks are how many keys have few tasks in the measure of fairness, and how many.
const smallKeys, smallTasks = 1_000, 10

// waitFairly measures how long the tasks of many small keys wait, in ms at the 99th percentile, if one
// key has so many tasks that were stored before them.
func waitFairly(flood int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		s, ok := t.sys.(*ours)
		if !ok {
			return nil, errNone
		}
		if err := s.fillLanes(ctx, t, flood, func(int) string { return "flood" }); err != nil {
			return nil, err
		}
		const small = smallKeys * smallTasks
		m, err := minion.New(s.b)
		if err != nil {
			return nil, err
		}
		waits := make(chan time.Duration, small)
		var began time.Time
		err = task.Handle(m, addTask, func(ctx context.Context, a addArgs) (int, error) {
			if info, _ := task.FromContext(ctx); info.Meta["small"] != "" {
				waits <- time.Since(began)
			}
			return a.X + a.Y, nil
		})
		if err != nil {
			return nil, err
		}
		for first := 0; first < small; first += bulkBatch {
			calls := bind(min(bulkBatch, small-first))
			for i := range calls {
				k := strconv.Itoa((first + i) % smallKeys)
				calls[i] = calls[i].With(task.FairKey(k), task.Limit(laneLimit, task.KeyedBy(k)), task.Meta("small", "1"))
			}
			if _, err := task.SendAll(ctx, s.arb, calls...); err != nil {
				return nil, err
			}
		}
		began = time.Now()
		go func() { _ = m.Run(ctx, pipelineSlots) }()
		defer func() { _ = m.Close() }()
		all := make([]time.Duration, 0, small)
		for len(all) < small {
			select {
			case d := <-waits:
				all = append(all, d)
			case <-time.After(extra):
				return nil, fmt.Errorf("%d of %d tasks have started", len(all), small)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		slices.Sort(all)
		return []float64{all[len(all)*99/100].Seconds() * 1000}, nil
	}
}
