// Package faulty wraps a broker for tests. It counts requests, and lets them fail, come late, be
// carried out twice, or lose their replies, as hooks of the test or a seed ([Seeded]) decide. A
// wrapper also stands for a process that uses the broker: it can hang and be killed.
package faulty

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// Op is an operation of a broker, a consumer or an inbox.
type Op string

// The operations.
const (
	Enqueue   Op = "enqueue"
	Lookup    Op = "lookup"
	Cancel    Op = "cancel"
	Consume   Op = "consume"
	Dequeue   Op = "dequeue"
	Settle    Op = "settle"
	Heartbeat Op = "heartbeat"
	Leave     Op = "leave" // Consumer.Close
	Inbox     Op = "inbox"
	Receive   Op = "receive"
	Minions   Op = "minions"
	Publish   Op = "publish"
	Subscribe Op = "subscribe"
)

// ErrUnavailable is the error of a request that did not reach the broker.
var ErrUnavailable = fmt.Errorf("%w: the test lets the request fail", broker.ErrUnavailable)

// ErrLostReply is the error of a request that was carried out, and whose reply was lost.
var ErrLostReply = fmt.Errorf("%w: %w: the test loses the reply", broker.ErrUnavailable, broker.ErrIndeterminate)

// Broker is a broker with faults.
type Broker struct {
	broker.Broker

	mu    sync.Mutex
	calls map[Op]int
	items map[Op]int
	hooks Hooks
	hung  chan struct{} // closed when the process goes on; nil if it does not hang
	off   bool          // the process is cut off

	life context.Context // ends when the process is killed
	end  context.CancelFunc
}

// Hooks are the faults. A nil hook has no effect. n is the number of items of a request, such as
// tasks. Hooks are called concurrently.
type Hooks struct {
	// Strike returns the fault of a request. It is called before all other hooks.
	Strike func(op Op, n int) Fault
	// Before is called first. If it returns an error, the request is not carried out and fails with
	// that error. Before may block.
	Before func(ctx context.Context, op Op, n int) error
	// After is called when the request has been carried out. If it returns an error, the caller
	// gets that error instead of the reply.
	After func(op Op, n int) error
	// Lose reports whether a notice is lost on its way to the inbox.
	Lose func(notice broker.Notice) bool
	// Gap reports whether a Receive reports a gap.
	Gap func() bool
	// Recorded is called for each start that the broker has recorded, whether or not the caller
	// gets the reply.
	Recorded func(d *broker.Delivery)
	// Refuse returns an error for each settlement that is to be refused. The other settlements of
	// the batch are carried out.
	Refuse func(s broker.Settlement) error
}

// New wraps a broker.
func New(b broker.Broker) *Broker {
	w := &Broker{Broker: b, calls: make(map[Op]int), items: make(map[Op]int)}
	w.life, w.end = context.WithCancel(context.Background())
	return w
}

// Set replaces the faults.
func (b *Broker) Set(h Hooks) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hooks = h
}

// Calls returns the number of requests of a kind.
func (b *Broker) Calls(op Op) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[op]
}

// Items returns the total number of items of all requests of a kind.
func (b *Broker) Items(op Op) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.items[op]
}

func (b *Broker) now() Hooks {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hooks
}

func (b *Broker) before(ctx context.Context, op Op, n int) error {
	b.mu.Lock()
	b.calls[op]++
	b.items[op] += n
	f := b.hooks.Before
	b.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx, op, n)
}

func (b *Broker) after(op Op, n int) error {
	if f := b.now().After; f != nil {
		return f(op, n)
	}
	return nil
}

// Enqueue implements [broker.Broker].
func (b *Broker) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	return b.do(ctx, Enqueue, len(tasks), func(ctx context.Context) error { return b.Broker.Enqueue(ctx, tasks) })
}

// Lookup implements [broker.Broker].
func (b *Broker) Lookup(ctx context.Context, ids []broker.ID) ([]broker.Status, error) {
	return ask(ctx, b, Lookup, len(ids), func(ctx context.Context) ([]broker.Status, error) { return b.Broker.Lookup(ctx, ids) })
}

// Cancel implements [broker.Broker].
func (b *Broker) Cancel(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	return ask(ctx, b, Cancel, len(ids), func(ctx context.Context) ([]broker.CancelVerdict, error) { return b.Broker.Cancel(ctx, ids) })
}

// Minions implements [broker.Broker].
func (b *Broker) Minions(ctx context.Context) ([]broker.MinionInfo, error) {
	return ask(ctx, b, Minions, 1, func(ctx context.Context) ([]broker.MinionInfo, error) { return b.Broker.Minions(ctx) })
}

// Publish implements [broker.Broker].
func (b *Broker) Publish(ctx context.Context, events []broker.Event) error {
	return b.do(ctx, Publish, len(events), func(ctx context.Context) error { return b.Broker.Publish(ctx, events) })
}

// Subscribe implements [broker.Broker].
func (b *Broker) Subscribe(ctx context.Context, topic string, after broker.Cursor) (broker.Subscription, error) {
	return ask(ctx, b, Subscribe, 1, func(ctx context.Context) (broker.Subscription, error) {
		return b.Broker.Subscribe(ctx, topic, after)
	})
}

// Total returns the number of requests of all kinds except Receive. A Receive only waits for
// pushes.
func (b *Broker) Total() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for op, calls := range b.calls {
		if op != Receive {
			n += calls
		}
	}
	return n
}
