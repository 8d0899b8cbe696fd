package arbiter

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// Workers are the numbers of slots that serve a queue.
type Workers struct {
	Total     int `json:"total"`     // the slots of all minions that serve the queue
	Active    int `json:"active"`    // the slots that are busy, or reserved for members of a squad
	Available int `json:"available"` // the slots that are free
}

// Workers returns the numbers of slots for each queue that a living minion serves. Minions report their load when it changes,
// so the numbers are at most about a second old. A minion counts as soon as it has registered and until it has stopped; if
// it was killed, until its lease has ended. A minion of several queues counts for each of them, so the sum over all queues
// can exceed the number of slots. The error wraps [task.ErrUnavailable] or [task.ErrClosed].
func (a *Arbiter) Workers(ctx context.Context) (map[string]Workers, error) {
	minions, err := a.Minions(ctx)
	if err != nil {
		return nil, err
	}
	queues := make(map[string]Workers)
	for _, m := range minions {
		for _, name := range m.Queues {
			w := queues[name]
			w.Total += m.Slots
			w.Active += min(m.Active, m.Slots)
			w.Available = w.Total - w.Active
			queues[name] = w
		}
	}
	return queues, nil
}

// Minions returns the living minions. The list can be as old as the numbers of [Arbiter.Workers]. The error wraps
// [task.ErrUnavailable] or [task.ErrClosed].
func (a *Arbiter) Minions(ctx context.Context) ([]broker.MinionInfo, error) {
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("minions: %w", err)
	}
	minions, err := a.b.Minions(ctx)
	if err != nil {
		return nil, fmt.Errorf("minions: %w", err)
	}
	return minions, nil
}
