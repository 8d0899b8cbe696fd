package faulty

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// RecordStart is the operation of [broker.Starter], which the wrapped broker must have.
const RecordStart Op = "record start"

var _ broker.Starter = (*Broker)(nil)

// RecordStart implements [broker.Starter].
func (b *Broker) RecordStart(ctx context.Context, d *broker.Delivery) (recoveries, strikes int, err error) {
	counts, err := ask(ctx, b, RecordStart, 1, func(ctx context.Context) ([2]int, error) {
		recoveries, strikes, err := b.Broker.(broker.Starter).RecordStart(ctx, d)
		if tell := b.now().Recorded; err == nil && tell != nil {
			tell(d)
		}
		return [2]int{recoveries, strikes}, err
	})
	return counts[0], counts[1], err
}
