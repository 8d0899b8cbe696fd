// Package limits stores the limits that a program declares.
package limits

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/limit"
)

// Declare stores the definitions of a queue that are not stored yet. A stored definition stays, also if it is another one:
// then the error is, or joins, a [*limit.ConflictError] for each of them. Whether a limit is paused makes no difference: an
// operator has paused it, or let it go on. Any other error says that not all definitions may be stored; Declare can be
// called again.
//
// Several programs may declare the same limit at the same time. If they declare different definitions, one of them is
// stored, and those that look after it was stored return an error. A definition that an operator sets between the look and the
// store is replaced; that takes as long as a request.
func Declare(ctx context.Context, b broker.Lanes, queue string, declared []limit.Limit) error {
	defs, err := Definitions(declared)
	if err != nil {
		return err
	}
	if err := broker.CheckName("queue", queue); err != nil {
		return err
	}
	stored, err := b.LimitsIn(ctx, queue)
	if err != nil {
		return fmt.Errorf("limits of queue %s: %w", queue, err)
	}
	added := false
	for _, def := range defs {
		if find(stored, &def) != nil {
			continue
		}
		if err := b.SetLimit(ctx, queue, def); err != nil {
			return fmt.Errorf("limit %s of queue %s: %w", def.Name, queue, err)
		}
		added = true
	}
	if added { // another program may have stored the same limits meanwhile
		if stored, err = b.LimitsIn(ctx, queue); err != nil {
			return fmt.Errorf("limits of queue %s: %w", queue, err)
		}
	}
	var conflicts []error
	for _, def := range defs {
		if old := find(stored, &def); old != nil && !same(*old, def) {
			conflicts = append(conflicts, &limit.ConflictError{Queue: queue, Declared: def, Stored: *old})
		}
	}
	if len(conflicts) == 1 {
		return conflicts[0]
	}
	return errors.Join(conflicts...)
}

// Definitions returns the definitions, or the first error of one. Two definitions of the same limit and key are an error.
func Definitions(declared []limit.Limit) ([]broker.Limit, error) {
	defs := make([]broker.Limit, 0, len(declared))
	for _, l := range declared {
		def, err := l.Definition()
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(defs, func(other broker.Limit) bool { return other.Name == def.Name && other.Key == def.Key }) {
			return nil, fmt.Errorf("limit %s: %w: it is declared twice; declare it once, or for another key", def.Name, broker.ErrInvalid)
		}
		defs = append(defs, def)
	}
	return defs, nil
}

// find returns the stored definition with the name and key of def, or nil.
func find(stored []broker.LimitInfo, def *broker.Limit) *broker.Limit {
	for i := range stored {
		if l := &stored[i].Limit; l.Name == def.Name && l.Key == def.Key {
			return l
		}
	}
	return nil
}

// same reports whether two definitions have the same numbers.
func same(a, b broker.Limit) bool {
	a.Burst, b.Burst = a.Bursts(), b.Bursts()
	a.Paused, b.Paused = false, false
	return a == b
}
