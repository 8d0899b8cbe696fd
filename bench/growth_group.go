package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
)

// groupOf submits one group, and waits for the results of all its members.
func groupOf(members int) func(context.Context, *trial) ([]float64, error) {
	return func(ctx context.Context, t *trial) ([]float64, error) {
		s, ok := t.sys.(*ours)
		if !ok {
			return nil, errNone
		}
		stop, err := s.Work(ctx, pipelineSlots, func(x, y int) int { return x + y })
		if err != nil {
			return nil, err
		}
		defer stop()
		if err := pause(ctx, 50*time.Millisecond); err != nil { // until the worker has connected
			return nil, err
		}
		began := time.Now()
		g, err := arbiter.GroupOf(ctx, s.arb, bind(members))
		if err != nil {
			return nil, err
		}
		sums, err := g.Results(ctx)
		if err != nil {
			return nil, err
		}
		took := time.Since(began)
		if len(sums) != members {
			return nil, fmt.Errorf("got %d results, want %d", len(sums), members)
		}
		for i, sum := range sums {
			if err := checkSum(i, sum); err != nil {
				return nil, err
			}
		}
		return []float64{float64(members) / took.Seconds()}, nil
	}
}
