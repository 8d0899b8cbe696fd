package faulty

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// The operations of [broker.Flows], which the wrapped broker must have.
const (
	OpenFlow   Op = "open flow"
	LookupFlow Op = "look up flow"
	Members    Op = "members"
	Arrivals   Op = "arrivals"
	Arrive     Op = "arrive"
	Confirm    Op = "confirm"
	Blocked    Op = "blocked"
	Release    Op = "release"
	MarkFlow   Op = "mark flow"
	EndFlow    Op = "end flow"
)

var _ broker.Flows = (*Broker)(nil)

func (b *Broker) flows() broker.Flows { return b.Broker.(broker.Flows) }

// OpenFlow implements [broker.Flows].
func (b *Broker) OpenFlow(ctx context.Context, f *broker.Flow, from int, members []broker.ID) error {
	return b.do(ctx, OpenFlow, len(members), func(ctx context.Context) error { return b.flows().OpenFlow(ctx, f, from, members) })
}

// LookupFlow implements [broker.Flows].
func (b *Broker) LookupFlow(ctx context.Context, id broker.ID) (*broker.Progress, error) {
	return ask(ctx, b, LookupFlow, 1, func(ctx context.Context) (*broker.Progress, error) { return b.flows().LookupFlow(ctx, id) })
}

// Members implements [broker.Flows].
func (b *Broker) Members(ctx context.Context, id broker.ID, from, limit int, outcomes bool) ([]broker.Member, error) {
	return ask(ctx, b, Members, limit, func(ctx context.Context) ([]broker.Member, error) {
		return b.flows().Members(ctx, id, from, limit, outcomes)
	})
}

// Arrivals implements [broker.Flows].
func (b *Broker) Arrivals(ctx context.Context, queue string, limit int) ([]broker.Arrival, error) {
	return ask(ctx, b, Arrivals, limit, func(ctx context.Context) ([]broker.Arrival, error) { return b.flows().Arrivals(ctx, queue, limit) })
}

// Arrive implements [broker.Flows].
func (b *Broker) Arrive(ctx context.Context, id broker.ID, arrivals []broker.Arrival) (*broker.Progress, error) {
	return ask(ctx, b, Arrive, len(arrivals), func(ctx context.Context) (*broker.Progress, error) { return b.flows().Arrive(ctx, id, arrivals) })
}

// Confirm implements [broker.Flows].
func (b *Broker) Confirm(ctx context.Context, arrivals []broker.Arrival) error {
	return b.do(ctx, Confirm, len(arrivals), func(ctx context.Context) error { return b.flows().Confirm(ctx, arrivals) })
}

// Blocked implements [broker.Flows].
func (b *Broker) Blocked(ctx context.Context, ids []broker.ID) ([]*broker.Task, error) {
	return ask(ctx, b, Blocked, len(ids), func(ctx context.Context) ([]*broker.Task, error) { return b.flows().Blocked(ctx, ids) })
}

// Release implements [broker.Flows].
func (b *Broker) Release(ctx context.Context, tasks []*broker.Task) error {
	return b.do(ctx, Release, len(tasks), func(ctx context.Context) error { return b.flows().Release(ctx, tasks) })
}

// MarkFlow implements [broker.Flows].
func (b *Broker) MarkFlow(ctx context.Context, id broker.ID, marks broker.Marks) error {
	return b.do(ctx, MarkFlow, 1, func(ctx context.Context) error { return b.flows().MarkFlow(ctx, id, marks) })
}

// EndFlow implements [broker.Flows].
func (b *Broker) EndFlow(ctx context.Context, id broker.ID, o *broker.Outcome) error {
	return b.do(ctx, EndFlow, 1, func(ctx context.Context) error { return b.flows().EndFlow(ctx, id, o) })
}

// The operations of [broker.Squads], which the wrapped broker must have.
const (
	Post   Op = "post"
	Assign Op = "assign"
	Decide Op = "decide"
)

var _ broker.Squads = (*Broker)(nil)

func (b *Broker) squads() broker.Squads { return b.Broker.(broker.Squads) }

// Post implements [broker.Squads].
func (b *Broker) Post(ctx context.Context, to broker.ID, payload []byte) error {
	return b.do(ctx, Post, 1, func(ctx context.Context) error { return b.squads().Post(ctx, to, payload) })
}

// Assign implements [broker.Squads].
func (b *Broker) Assign(ctx context.Context, minion broker.ID, ids []broker.ID) error {
	return b.do(ctx, Assign, len(ids), func(ctx context.Context) error { return b.squads().Assign(ctx, minion, ids) })
}

// Decide implements [broker.Squads].
func (b *Broker) Decide(ctx context.Context, flow broker.ID, start bool) (bool, error) {
	return ask(ctx, b, Decide, 1, func(ctx context.Context) (bool, error) { return b.squads().Decide(ctx, flow, start) })
}
