package minion

import (
	"context"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/flow"
	"github.com/go-arbiter/arbiter/task"
)

// within is an attempt as the submitter of its handler: what is sent goes at
// once.
type within attempt

// Submit implements [task.Submitter].
func (w *within) Submit(ctx context.Context, calls ...task.Bound) error {
	return w.child.Submit(ctx, calls...)
}

// Await implements [task.Submitter]. Meanwhile the slot is lent.
func (w *within) Await(ctx context.Context, id task.ID, into any) error {
	a := (*attempt)(w)
	r := a.s.r
	r.lend(a)
	defer r.reclaim(a)
	return w.child.Await(ctx, id, into)
}

// noUpstream is why a task can't run that waited for a result and was started
// without it.
func noUpstream(d *broker.Delivery) error {
	why := d.Meta[flow.ReasonKey]
	if why == "" {
		why = "it could not be put among the arguments"
	}
	return fmt.Errorf("%w: parameter %s: %s", task.ErrNoUpstream, d.Upstream, why)
}
