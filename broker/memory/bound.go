package memory

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

var _ broker.Bounder = (*Broker)(nil)

// waiting returns how many tasks wait: those that are neither running nor final.
func (q *queue) waiting() int { return q.live - q.running - q.dead.Len() }

// full returns the error for a new task if there is no room for it, or nil.
func (q *queue) full() error {
	if n := q.waiting(); q.bound > 0 && n >= q.bound {
		return &broker.FullError{Queue: q.name, Most: q.bound, Waiting: n}
	}
	return nil
}

// SetBound sets how many tasks may wait in a queue; see [broker.Bounder].
func (b *Broker) SetBound(ctx context.Context, name string, most int) error {
	return b.withQueue(ctx, name, most > 0, broker.CheckBound(name, most), func(q *queue, _ instant) { q.bound = most })
}

// Bound returns the bound of a queue; see [broker.Bounder].
func (b *Broker) Bound(ctx context.Context, name string) (most, waiting int, err error) {
	err = b.withQueue(ctx, name, false, nil, func(q *queue, _ instant) { most, waiting = q.bound, q.waiting() })
	return most, waiting, err
}
