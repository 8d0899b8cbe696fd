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
// Several programs may declare the same limit at the same time. If they declare different definitions, the first one is
// stored, and the others return an error.
func Declare(ctx context.Context, b broker.Lanes, queue string, declared []limit.Limit) error {
	defs, err := Definitions(declared)
	if err != nil {
		return err
	}
	if err := broker.CheckName("queue", queue); err != nil {
		return err
	}
	var conflicts []error
	for _, def := range defs {
		stored, err := b.AddLimit(ctx, queue, def)
		if err != nil {
			return fmt.Errorf("limit %s of queue %s: %w", def.Name, queue, err)
		}
		if !same(stored, def) {
			conflicts = append(conflicts, &limit.ConflictError{Queue: queue, Declared: def, Stored: stored})
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

// same reports whether two definitions have the same numbers.
func same(a, b broker.Limit) bool {
	a.Burst, b.Burst = a.Bursts(), b.Bursts()
	a.Paused, b.Paused = false, false
	return a == b
}
