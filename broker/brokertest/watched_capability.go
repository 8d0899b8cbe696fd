package brokertest

import (
	"context"

	"github.com/go-arbiter/arbiter/broker"
)

// can returns a capability of a broker that was given to the suite. ok reports whether the broker
// has it.
func can[T any](b broker.Broker) (capability T, ok bool) {
	capability, ok = raw(b).(T)
	return capability, ok
}

func (r *rig) flowsAt(b broker.Broker) broker.Flows {
	return &watchedFlows{raw(b).(broker.Flows), r.dog}
}

func (r *rig) squadsAt(b broker.Broker) broker.Squads {
	return &watchedSquads{raw(b).(broker.Squads), r.dog}
}

func (r *rig) inspector() broker.Inspector {
	return &watchedInspector{raw(r.Broker).(broker.Inspector), r.dog}
}

type watchedFlows struct {
	b   broker.Flows
	dog *watchdog
}

func (f *watchedFlows) OpenFlow(ctx context.Context, flow *broker.Flow, from int, members []broker.ID) error {
	return f.dog.do("OpenFlow", func() error { return f.b.OpenFlow(ctx, flow, from, members) })
}

func (f *watchedFlows) LookupFlow(ctx context.Context, id broker.ID) (*broker.Progress, error) {
	return ask(f.dog, "LookupFlow", func() (*broker.Progress, error) { return f.b.LookupFlow(ctx, id) })
}

func (f *watchedFlows) Members(ctx context.Context, id broker.ID, from, limit int, outcomes bool) ([]broker.Member, error) {
	return ask(f.dog, "Members", func() ([]broker.Member, error) { return f.b.Members(ctx, id, from, limit, outcomes) })
}

func (f *watchedFlows) Arrivals(ctx context.Context, queue string, limit int) ([]broker.Arrival, error) {
	return ask(f.dog, "Arrivals", func() ([]broker.Arrival, error) { return f.b.Arrivals(ctx, queue, limit) })
}

func (f *watchedFlows) Arrive(ctx context.Context, id broker.ID, arrivals []broker.Arrival) (*broker.Progress, error) {
	return ask(f.dog, "Arrive", func() (*broker.Progress, error) { return f.b.Arrive(ctx, id, arrivals) })
}

func (f *watchedFlows) Confirm(ctx context.Context, arrivals []broker.Arrival) error {
	return f.dog.do("Confirm", func() error { return f.b.Confirm(ctx, arrivals) })
}

func (f *watchedFlows) Blocked(ctx context.Context, ids []broker.ID) ([]*broker.Task, error) {
	return ask(f.dog, "Blocked", func() ([]*broker.Task, error) { return f.b.Blocked(ctx, ids) })
}

func (f *watchedFlows) Release(ctx context.Context, tasks []*broker.Task) error {
	return f.dog.do("Release", func() error { return f.b.Release(ctx, tasks) })
}

func (f *watchedFlows) MarkFlow(ctx context.Context, id broker.ID, marks broker.Marks) error {
	return f.dog.do("MarkFlow", func() error { return f.b.MarkFlow(ctx, id, marks) })
}

func (f *watchedFlows) EndFlow(ctx context.Context, id broker.ID, o *broker.Outcome) error {
	return f.dog.do("EndFlow", func() error { return f.b.EndFlow(ctx, id, o) })
}

type watchedSquads struct {
	b   broker.Squads
	dog *watchdog
}

func (s *watchedSquads) Post(ctx context.Context, to broker.ID, payload []byte) error {
	return s.dog.do("Post", func() error { return s.b.Post(ctx, to, payload) })
}

func (s *watchedSquads) Assign(ctx context.Context, minion broker.ID, ids []broker.ID) error {
	return s.dog.do("Assign", func() error { return s.b.Assign(ctx, minion, ids) })
}

func (s *watchedSquads) Decide(ctx context.Context, flow broker.ID, start bool) (bool, error) {
	return ask(s.dog, "Decide", func() (bool, error) { return s.b.Decide(ctx, flow, start) })
}

type watchedInspector struct {
	b   broker.Inspector
	dog *watchdog
}

func (i *watchedInspector) Queues(ctx context.Context) ([]broker.QueueInfo, error) {
	return ask(i.dog, "Queues", func() ([]broker.QueueInfo, error) { return i.b.Queues(ctx) })
}

func (i *watchedInspector) DeadLetters(ctx context.Context, queue, after string, limit int) (letters []broker.DeadLetter, next string, err error) {
	err = i.dog.do("DeadLetters", func() (err error) {
		letters, next, err = i.b.DeadLetters(ctx, queue, after, limit)
		return err
	})
	return letters, next, err
}

func (i *watchedInspector) Requeue(ctx context.Context, ids []broker.ID) ([]error, error) {
	return ask(i.dog, "Requeue", func() ([]error, error) { return i.b.Requeue(ctx, ids) })
}

func (r *rig) parker() broker.Parker {
	return &watchedParker{raw(r.Broker).(broker.Parker), r.dog}
}

type watchedParker struct {
	b   broker.Parker
	dog *watchdog
}

func (p *watchedParker) Parked(ctx context.Context, queue string) ([]broker.Parked, error) {
	return ask(p.dog, "Parked", func() ([]broker.Parked, error) { return p.b.Parked(ctx, queue) })
}

func (r *rig) follower() broker.Follower {
	return &watchedFollower{raw(r.Broker).(broker.Follower), r.dog}
}

type watchedFollower struct {
	b   broker.Follower
	dog *watchdog
}

func (f *watchedFollower) Follow(ctx context.Context, inbox broker.ID, ids []broker.ID) error {
	return f.dog.do("Follow", func() error { return f.b.Follow(ctx, inbox, ids) })
}

func (r *rig) starterAt(b broker.Broker) broker.Starter {
	return &watchedStarter{raw(b).(broker.Starter), r.dog}
}

type watchedStarter struct {
	b   broker.Starter
	dog *watchdog
}

func (s *watchedStarter) RecordStart(ctx context.Context, d *broker.Delivery) (recoveries, strikes int, err error) {
	err = s.dog.do("RecordStart", func() (err error) {
		recoveries, strikes, err = s.b.RecordStart(ctx, d)
		return err
	})
	return recoveries, strikes, err
}

func (r *rig) uniquesAt(b broker.Broker) broker.Uniques {
	return &watchedUniques{raw(b).(broker.Uniques), r.dog}
}

type watchedUniques struct {
	b   broker.Uniques
	dog *watchdog
}

func (u *watchedUniques) StartKey(ctx context.Context, d *broker.Delivery) error {
	return u.dog.do("StartKey", func() error { return u.b.StartKey(ctx, d) })
}

func (u *watchedUniques) LookupKeys(ctx context.Context, queue string, keys []string) ([]broker.KeyStatus, error) {
	return ask(u.dog, "LookupKeys", func() ([]broker.KeyStatus, error) { return u.b.LookupKeys(ctx, queue, keys) })
}

func (u *watchedUniques) FreeKeys(ctx context.Context, queue string, keys []string) ([]broker.KeyStatus, error) {
	return ask(u.dog, "FreeKeys", func() ([]broker.KeyStatus, error) { return u.b.FreeKeys(ctx, queue, keys) })
}
