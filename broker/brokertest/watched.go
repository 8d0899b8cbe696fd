package brokertest

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// watched is a broker that reports its calls to the watchdog. It hides the optional capabilities.
// raw returns the broker that has them.
type watched struct {
	broker.Broker
	dog    *watchdog
	closed *atomic.Bool
}

// watch returns the broker with its calls reported to the watchdog of the test, if there is one.
func (r *rig) watch(b broker.Broker) broker.Broker {
	if r.dog == nil {
		return b
	}
	return &watched{b, r.dog, new(atomic.Bool)}
}

// raw returns the broker that was given to the suite.
func raw(b broker.Broker) broker.Broker {
	if w, ok := b.(*watched); ok {
		return w.Broker
	}
	return b
}

// do makes a call that must not wait.
func (w *watchdog) do(what string, fn func() error) error {
	defer w.begin(&call{what: what})()
	return fn()
}

// ask is do for a call with a result.
func ask[T any](w *watchdog, what string, fn func() (T, error)) (T, error) {
	defer w.begin(&call{what: what})()
	return fn()
}

// wait begins a call that may wait until ctx ends or one of the flags is set. The returned function
// must be called when the call returns.
func (w *watchdog) wait(ctx context.Context, c *call, ends ...*atomic.Bool) func() {
	over := new(atomic.Bool)
	c.ends = append(slices.Clip(ends), over)
	stop := context.AfterFunc(ctx, func() { over.Store(true) })
	returned := w.begin(c)
	return func() {
		stop()
		returned()
	}
}

func (b *watched) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	return b.dog.do("Enqueue", func() error { return b.Broker.Enqueue(ctx, tasks) })
}

func (b *watched) Lookup(ctx context.Context, ids []broker.ID) ([]broker.Status, error) {
	return ask(b.dog, "Lookup", func() ([]broker.Status, error) { return b.Broker.Lookup(ctx, ids) })
}

func (b *watched) Cancel(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	return ask(b.dog, "Cancel", func() ([]broker.CancelVerdict, error) { return b.Broker.Cancel(ctx, ids) })
}

func (b *watched) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	c, err := ask(b.dog, "Consume", func() (broker.Consumer, error) { return b.Broker.Consume(ctx, cfg) })
	if c == nil {
		return nil, err
	}
	return &watchedConsumer{c, b, new(atomic.Bool)}, err
}

func (b *watched) Inbox(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	in, err := ask(b.dog, "Inbox", func() (broker.Inbox, error) { return b.Broker.Inbox(ctx, id) })
	if in == nil {
		return nil, err
	}
	return &watchedInbox{in, b, new(atomic.Bool)}, err
}

func (b *watched) Minions(ctx context.Context) ([]broker.MinionInfo, error) {
	return ask(b.dog, "Minions", func() ([]broker.MinionInfo, error) { return b.Broker.Minions(ctx) })
}

func (b *watched) Publish(ctx context.Context, events []broker.Event) error {
	return b.dog.do("Publish", func() error { return b.Broker.Publish(ctx, events) })
}

func (b *watched) Subscribe(ctx context.Context, topic string, after broker.Cursor) (broker.Subscription, error) {
	s, err := ask(b.dog, "Subscribe", func() (broker.Subscription, error) { return b.Broker.Subscribe(ctx, topic, after) })
	if s == nil {
		return nil, err
	}
	return &watchedSubscription{s, b, new(atomic.Bool)}, err
}

func (b *watched) Close() error {
	b.closed.Store(true)
	return b.dog.do("Close", b.Broker.Close)
}

type watchedConsumer struct {
	broker.Consumer
	b      *watched
	closed *atomic.Bool
}

func (c *watchedConsumer) Dequeue(ctx context.Context, queues []string, limit int, wait time.Duration) ([]*broker.Delivery, error) {
	// The wait has a limit, so the watchdog need not know which events end it earlier.
	defer c.b.dog.begin(&call{what: "Dequeue", may: max(wait, 0)})()
	return c.Consumer.Dequeue(ctx, queues, limit, wait)
}

func (c *watchedConsumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	return ask(c.b.dog, "Settle", func() ([]error, error) { return c.Consumer.Settle(ctx, batch) })
}

func (c *watchedConsumer) Heartbeat(ctx context.Context, load broker.Load) error {
	return c.b.dog.do("Heartbeat", func() error { return c.Consumer.Heartbeat(ctx, load) })
}

func (c *watchedConsumer) Close(ctx context.Context) error {
	return c.b.dog.do("Consumer.Close", func() error { return c.Consumer.Close(ctx) })
}

type watchedInbox struct {
	broker.Inbox
	b      *watched
	closed *atomic.Bool
}

func (in *watchedInbox) Receive(ctx context.Context) (broker.Mail, error) {
	defer in.b.dog.wait(ctx, &call{what: "Inbox.Receive"}, in.closed, in.b.closed)()
	return in.Inbox.Receive(ctx)
}

func (in *watchedInbox) Close() error {
	in.closed.Store(true)
	return in.b.dog.do("Inbox.Close", in.Inbox.Close)
}

type watchedSubscription struct {
	broker.Subscription
	b      *watched
	closed *atomic.Bool
}

func (s *watchedSubscription) Receive(ctx context.Context) ([]broker.Event, bool, error) {
	defer s.b.dog.wait(ctx, &call{what: "Subscription.Receive"}, s.closed, s.b.closed)()
	return s.Subscription.Receive(ctx)
}

func (s *watchedSubscription) Close() error {
	s.closed.Store(true)
	return s.b.dog.do("Subscription.Close", s.Subscription.Close)
}
