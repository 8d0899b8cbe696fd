package arbiter

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// Workers counts the slots that serve a queue.
type Workers struct {
	Total     int `json:"total"`     // slots of all minions that serve the queue
	Active    int `json:"active"`    // of these, busy, or held for members of a squad
	Available int `json:"available"` // of these, free
}

// Workers returns the slots for each queue that a living minion serves. A minion
// tells its load when that changes, so the counts are about a second old at most.
// A minion is there as soon as it has registered, and gone as soon as it has
// stopped; one that was killed is gone when its lease has ended. A minion of several
// queues counts for each of them, so the sum over queues can be more than there is.
// The error wraps [task.ErrUnavailable] or [task.ErrClosed].
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

// Minions returns the living minions. How old its answer may be is said at
// [Arbiter.Workers]. The error wraps [task.ErrUnavailable] or [task.ErrClosed].
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
