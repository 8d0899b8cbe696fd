package faulty

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The operations of [broker.Lanes], which the wrapped broker must have.
const (
	SetLimit       Op = "set limit"
	AddLimit       Op = "add limit"
	RemoveLimit    Op = "remove limit"
	LimitsIn       Op = "limits"
	CloseLimit     Op = "close limit"
	SetWeight      Op = "set weight"
	Weights        Op = "weights"
	ResumeSequence Op = "resume sequence"
)

var _ broker.Lanes = (*Broker)(nil)

func (b *Broker) lanes() broker.Lanes { return b.Broker.(broker.Lanes) }

// SetLimit implements [broker.Lanes].
func (b *Broker) SetLimit(ctx context.Context, queue string, l broker.Limit) error {
	return b.do(ctx, SetLimit, 1, func(ctx context.Context) error { return b.lanes().SetLimit(ctx, queue, l) })
}

// AddLimit implements [broker.Lanes].
func (b *Broker) AddLimit(ctx context.Context, queue string, l broker.Limit) (broker.Limit, error) {
	return ask(ctx, b, AddLimit, 1, func(ctx context.Context) (broker.Limit, error) { return b.lanes().AddLimit(ctx, queue, l) })
}

// RemoveLimit implements [broker.Lanes].
func (b *Broker) RemoveLimit(ctx context.Context, queue, name, key string) error {
	return b.do(ctx, RemoveLimit, 1, func(ctx context.Context) error { return b.lanes().RemoveLimit(ctx, queue, name, key) })
}

// LimitsIn implements [broker.Lanes].
func (b *Broker) LimitsIn(ctx context.Context, queue string) ([]broker.LimitInfo, error) {
	return ask(ctx, b, LimitsIn, 1, func(ctx context.Context) ([]broker.LimitInfo, error) { return b.lanes().LimitsIn(ctx, queue) })
}

// CloseLimit implements [broker.Lanes].
func (b *Broker) CloseLimit(ctx context.Context, queue, name, key string, d time.Duration) error {
	return b.do(ctx, CloseLimit, 1, func(ctx context.Context) error { return b.lanes().CloseLimit(ctx, queue, name, key, d) })
}

// SetWeight implements [broker.Lanes].
func (b *Broker) SetWeight(ctx context.Context, queue, key string, weight int) error {
	return b.do(ctx, SetWeight, 1, func(ctx context.Context) error { return b.lanes().SetWeight(ctx, queue, key, weight) })
}

// Weights implements [broker.Lanes].
func (b *Broker) Weights(ctx context.Context, queue string) (map[string]int, error) {
	return ask(ctx, b, Weights, 1, func(ctx context.Context) (map[string]int, error) { return b.lanes().Weights(ctx, queue) })
}

// ResumeSequence implements [broker.Lanes].
func (b *Broker) ResumeSequence(ctx context.Context, queue, sequence string) error {
	return b.do(ctx, ResumeSequence, 1, func(ctx context.Context) error { return b.lanes().ResumeSequence(ctx, queue, sequence) })
}
