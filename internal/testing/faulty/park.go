package faulty

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// Parked is the operation of [broker.Parker], which the wrapped broker must have.
const Parked Op = "parked"

var _ broker.Parker = (*Broker)(nil)

// Parked implements [broker.Parker].
func (b *Broker) Parked(ctx context.Context, queue string) ([]broker.Parked, error) {
	return ask(ctx, b, Parked, 1, func(ctx context.Context) ([]broker.Parked, error) {
		return b.Broker.(broker.Parker).Parked(ctx, queue)
	})
}
