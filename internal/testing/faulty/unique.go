package faulty

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// The operations of [broker.Uniques], which the wrapped broker must have.
const (
	StartKey   Op = "start key"
	LookupKeys Op = "look up keys"
	FreeKeys   Op = "free keys"
)

var _ broker.Uniques = (*Broker)(nil)

// StartKey implements [broker.Uniques].
func (b *Broker) StartKey(ctx context.Context, d *broker.Delivery) error {
	return b.do(ctx, StartKey, 1, func(ctx context.Context) error { return b.Broker.(broker.Uniques).StartKey(ctx, d) })
}

// LookupKeys implements [broker.Uniques].
func (b *Broker) LookupKeys(ctx context.Context, queue string, keys []string) ([]broker.KeyStatus, error) {
	return ask(ctx, b, LookupKeys, len(keys), func(ctx context.Context) ([]broker.KeyStatus, error) {
		return b.Broker.(broker.Uniques).LookupKeys(ctx, queue, keys)
	})
}

// FreeKeys implements [broker.Uniques].
func (b *Broker) FreeKeys(ctx context.Context, queue string, keys []string) ([]broker.KeyStatus, error) {
	return ask(ctx, b, FreeKeys, len(keys), func(ctx context.Context) ([]broker.KeyStatus, error) {
		return b.Broker.(broker.Uniques).FreeKeys(ctx, queue, keys)
	})
}
