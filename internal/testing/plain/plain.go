// Package plain has a broker without optional capabilities, for tests.
package plain

import (
	"context"
	"errors"

	"github.com/go-arbiter/arbiter/broker"
)

// Broker hides the optional capabilities of the wrapped broker, and refuses requests that need
// them.
type Broker struct{ broker.Broker }

// Enqueue implements [broker.Broker].
func (b Broker) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	errs := make([]error, len(tasks))
	var left []*broker.Task
	var indexes []int
	for i, t := range tasks {
		if errs[i] = broker.CheckTask(b, t); errs[i] == nil {
			left, indexes = append(left, t), append(indexes, i)
		}
	}
	err := b.Broker.Enqueue(ctx, left)
	var batch *broker.BatchError
	if err != nil && !errors.As(err, &batch) {
		return err
	}
	for i, index := range indexes {
		if batch != nil {
			errs[index] = batch.Errs[i]
		}
	}
	return broker.NewBatchError(errs)
}

// Consume implements [broker.Broker].
func (b Broker) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := b.Broker.Consume(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &consumer{c, b}, nil
}

type consumer struct {
	broker.Consumer
	b Broker
}

// Settle implements [broker.Consumer].
func (c *consumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	refused := make([]error, len(batch))
	var left []broker.Settlement
	var indexes []int
	for i := range batch {
		if refused[i] = broker.CheckSettlement(c.b, &batch[i]); refused[i] == nil {
			left, indexes = append(left, batch[i]), append(indexes, i)
		}
	}
	errs, err := c.Consumer.Settle(ctx, left)
	if err != nil {
		return nil, err
	}
	for i, index := range indexes {
		refused[index] = errs[i]
	}
	return refused, nil
}
