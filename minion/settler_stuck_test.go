package minion_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// spoiled is a broker that can't settle the tasks of queue bad for a while.
type spoiled struct {
	broker.Broker
	broken atomic.Bool
}

func (s *spoiled) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := s.Broker.Consume(ctx, cfg)
	return &spoiledConsumer{c, s}, err
}

type spoiledConsumer struct {
	broker.Consumer
	s *spoiled
}

func (c *spoiledConsumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	errs := make([]error, len(batch))
	var good []broker.Settlement
	var indexes []int
	for i, s := range batch {
		if c.s.broken.Load() && s.Delivery.Queue == "bad" {
			errs[i] = fmt.Errorf("queue bad: %w", broker.ErrUnavailable)
			continue
		}
		good, indexes = append(good, s), append(indexes, i)
	}
	if len(good) == 0 {
		return errs, nil
	}
	some, err := c.Consumer.Settle(ctx, good)
	for i, err := range some {
		errs[indexes[i]] = err
	}
	return errs, err
}

// Settlements that fail because of a damaged queue are tried again, and settlements of
// other queues do not wait for them. A minion that stops gives them up in the end.
func TestStuckSettlements(t *testing.T) {
	t.Parallel()
	for _, mended := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := &spoiled{Broker: memory.New()}
			b.broken.Store(true)
			arb, err := arbiter.New(b)
			if err != nil {
				t.Fatal(err)
			}
			m := must(minion.New(b, minion.Queues("bad", "good")))
			if err := task.Handle(m, work, func(_ context.Context, a args) (int, error) { return a.N, nil }); err != nil {
				t.Fatal(err)
			}
			ran := make(chan error, 1)
			go func() { ran <- m.Run(t.Context(), 3) }()
			bad, err := work.With(task.Queue("bad")).Apply(t.Context(), arb, args{1})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for i := range 50 {
				fut, err := work.With(task.Queue("good")).Apply(t.Context(), arb, args{i})
				if err != nil {
					t.Fatal(err)
				}
				if n, err := fut.Result(t.Context()); err != nil || n != i {
					t.Fatalf("result: %v, %v", n, err)
				}
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("50 tasks of the queue that can be used took %v", took)
			}
			if mended {
				b.broken.Store(false)
				if n, err := bad.Result(t.Context()); err != nil || n != 1 {
					t.Errorf("result: %v, %v", n, err)
				}
			}
			if err := m.Close(); err != nil && mended {
				t.Error(err)
			}
			if err := <-ran; err != nil && mended {
				t.Error(err)
			}
			if err := arb.Close(); err != nil {
				t.Error(err)
			}
			_ = b.Close()
		})
	}
}
