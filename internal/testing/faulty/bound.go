package faulty

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// The operations of [broker.Bounder], which the wrapped broker must have.
const (
	SetBound Op = "set bound"
	Bound    Op = "bound"
)

var _ broker.Bounder = (*Broker)(nil)

func (b *Broker) bounder() broker.Bounder { return b.Broker.(broker.Bounder) }

// SetBound implements [broker.Bounder].
func (b *Broker) SetBound(ctx context.Context, queue string, most int) error {
	return b.do(ctx, SetBound, 1, func(ctx context.Context) error { return b.bounder().SetBound(ctx, queue, most) })
}

// Bound implements [broker.Bounder].
func (b *Broker) Bound(ctx context.Context, queue string) (most, waiting int, err error) {
	err = b.do(ctx, Bound, 1, func(ctx context.Context) (err error) {
		most, waiting, err = b.bounder().Bound(ctx, queue)
		return err
	})
	return most, waiting, err
}
