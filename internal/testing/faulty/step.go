package faulty

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// The operations of [broker.Steps], which the wrapped broker must have.
const (
	SaveStep  Op = "save step"
	LoadSteps Op = "load steps"
	Signal    Op = "signal"
	DropSteps Op = "drop steps"
)

var _ broker.Steps = (*Broker)(nil)

func (b *Broker) steps() broker.Steps { return b.Broker.(broker.Steps) }

// SaveStep implements [broker.Steps].
func (b *Broker) SaveStep(ctx context.Context, d *broker.Delivery, s broker.Step) error {
	return b.do(ctx, SaveStep, 1, func(ctx context.Context) error { return b.steps().SaveStep(ctx, d, s) })
}

// LoadSteps implements [broker.Steps].
func (b *Broker) LoadSteps(ctx context.Context, d *broker.Delivery) (broker.Saved, error) {
	return ask(ctx, b, LoadSteps, 1, func(ctx context.Context) (broker.Saved, error) { return b.steps().LoadSteps(ctx, d) })
}

// Signal implements [broker.Steps].
func (b *Broker) Signal(ctx context.Context, id broker.ID, s broker.Signal) error {
	return b.do(ctx, Signal, 1, func(ctx context.Context) error { return b.steps().Signal(ctx, id, s) })
}

// DropSteps implements [broker.Steps].
func (b *Broker) DropSteps(ctx context.Context, id broker.ID, from string) error {
	return b.do(ctx, DropSteps, 1, func(ctx context.Context) error { return b.steps().DropSteps(ctx, id, from) })
}
