package faulty

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// The operations of [broker.Pauser], which the wrapped broker must have.
const (
	Pause  Op = "pause"
	Resume Op = "resume"
	Pauses Op = "pauses"
)

var _ broker.Pauser = (*Broker)(nil)

func (b *Broker) pauser() broker.Pauser { return b.Broker.(broker.Pauser) }

// Pause implements [broker.Pauser].
func (b *Broker) Pause(ctx context.Context, queue string, p broker.Pause) error {
	return b.do(ctx, Pause, 1, func(ctx context.Context) error { return b.pauser().Pause(ctx, queue, p) })
}

// Resume implements [broker.Pauser].
func (b *Broker) Resume(ctx context.Context, queue string, p broker.Pause) error {
	return b.do(ctx, Resume, 1, func(ctx context.Context) error { return b.pauser().Resume(ctx, queue, p) })
}

// Pauses implements [broker.Pauser].
func (b *Broker) Pauses(ctx context.Context, queue string) ([]broker.PauseInfo, error) {
	return ask(ctx, b, Pauses, 1, func(ctx context.Context) ([]broker.PauseInfo, error) { return b.pauser().Pauses(ctx, queue) })
}
