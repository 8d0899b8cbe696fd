package faulty

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// Halt is the operation of [broker.Halter], which the wrapped broker must have.
const Halt Op = "halt"

var _ broker.Halter = (*Broker)(nil)

// Halt implements [broker.Halter].
func (b *Broker) Halt(ctx context.Context, flows []broker.ID) (*broker.Halted, error) {
	return ask(ctx, b, Halt, len(flows), func(ctx context.Context) (*broker.Halted, error) {
		return b.Broker.(broker.Halter).Halt(ctx, flows)
	})
}
