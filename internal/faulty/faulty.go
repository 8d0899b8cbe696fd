// Package faulty wraps a broker for tests: it counts what is asked of it, and
// fails, delays or loses what a test tells it to.
package faulty

import (
	"context"
	"fmt"
	"sync"
	"time"

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
)

// ErrUnavailable is the error of a request that never reached the broker.
var ErrUnavailable = fmt.Errorf("%w: out of order for a test", broker.ErrUnavailable)

// ErrLostReply is the error of a request that was carried out and whose reply
// was lost.
var ErrLostReply = fmt.Errorf("%w: %w: reply lost for a test", broker.ErrUnavailable, broker.ErrIndeterminate)

// Broker is a broker with faults.
type Broker struct {
	broker.Broker

	mu    sync.Mutex
	calls map[Op]int
	items map[Op]int
	hooks Hooks
}

// Hooks are the faults. Nil ones are none. N is how many items a request has.
// They are called concurrently.
type Hooks struct {
	// Before runs first; its error is returned in place of the request, which
	// is not carried out. It may block.
	Before func(ctx context.Context, op Op, n int) error
	// After runs when the request was carried out; its error is returned in
	// place of the reply.
	After func(op Op, n int) error
	// Lose says which letters are dropped on their way.
	Lose func(letter broker.Letter) bool
	// Gap says whether a receipt, after its losses, is reported as one with a gap.
	Gap func() bool
	// Refuse says what the broker does not take: the others of the batch are
	// carried out.
	Refuse func(s broker.Settlement) error
}

// New wraps a broker.
func New(b broker.Broker) *Broker {
	return &Broker{Broker: b, calls: make(map[Op]int), items: make(map[Op]int)}
}

// Set replaces the faults.
func (b *Broker) Set(h Hooks) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hooks = h
}

// Calls returns how many requests of a kind there were.
func (b *Broker) Calls(op Op) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[op]
}

// Items returns how many items the requests of a kind had together.
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
	if err := b.before(ctx, Enqueue, len(tasks)); err != nil {
		return err
	}
	err := b.Broker.Enqueue(ctx, tasks)
	if lost := b.after(Enqueue, len(tasks)); lost != nil {
		return lost
	}
	return err
}

// Lookup implements [broker.Broker].
func (b *Broker) Lookup(ctx context.Context, ids []broker.ID) ([]broker.Status, error) {
	if err := b.before(ctx, Lookup, len(ids)); err != nil {
		return nil, err
	}
	found, err := b.Broker.Lookup(ctx, ids)
	if lost := b.after(Lookup, len(ids)); lost != nil {
		return nil, lost
	}
	return found, err
}

// Cancel implements [broker.Broker].
func (b *Broker) Cancel(ctx context.Context, ids []broker.ID) ([]broker.CancelVerdict, error) {
	if err := b.before(ctx, Cancel, len(ids)); err != nil {
		return nil, err
	}
	verdicts, err := b.Broker.Cancel(ctx, ids)
	if lost := b.after(Cancel, len(ids)); lost != nil {
		return nil, lost
	}
	return verdicts, err
}

// Consume implements [broker.Broker].
func (b *Broker) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	if err := b.before(ctx, Consume, 1); err != nil {
		return nil, err
	}
	c, err := b.Broker.Consume(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &consumer{c, b}, nil
}

// Inbox implements [broker.Broker].
func (b *Broker) Inbox(ctx context.Context, id broker.ID) (broker.Inbox, error) {
	if err := b.before(ctx, Inbox, 1); err != nil {
		return nil, err
	}
	in, err := b.Broker.Inbox(ctx, id)
	if err != nil {
		return nil, err
	}
	return &inbox{in, b}, nil
}

type consumer struct {
	broker.Consumer
	b *Broker
}

func (c *consumer) Dequeue(ctx context.Context, queues []string, limit int, wait time.Duration) ([]*broker.Delivery, error) {
	if err := c.b.before(ctx, Dequeue, limit); err != nil {
		return nil, err
	}
	got, err := c.Consumer.Dequeue(ctx, queues, limit, wait)
	if lost := c.b.after(Dequeue, len(got)); lost != nil {
		return nil, lost
	}
	return got, err
}

func (c *consumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	if err := c.b.before(ctx, Settle, len(batch)); err != nil {
		return nil, err
	}
	refused := make([]error, len(batch))
	var rest []broker.Settlement
	refuse := c.b.now().Refuse
	for i, st := range batch {
		if refuse != nil {
			refused[i] = refuse(st)
		}
		if refused[i] == nil {
			rest = append(rest, st)
		}
	}
	errs, err := c.Consumer.Settle(ctx, rest)
	if lost := c.b.after(Settle, len(batch)); lost != nil {
		return nil, lost
	}
	if err != nil || len(rest) == len(batch) {
		return errs, err
	}
	for i := range refused {
		if refused[i] == nil {
			refused[i], errs = errs[0], errs[1:]
		}
	}
	return refused, nil
}

func (c *consumer) Heartbeat(ctx context.Context, load broker.Load) error {
	if err := c.b.before(ctx, Heartbeat, 1); err != nil {
		return err
	}
	err := c.Consumer.Heartbeat(ctx, load)
	if lost := c.b.after(Heartbeat, 1); lost != nil {
		return lost
	}
	return err
}

func (c *consumer) Close(ctx context.Context) error {
	if err := c.b.before(ctx, Leave, 1); err != nil {
		return err
	}
	return c.Consumer.Close(ctx)
}

type inbox struct {
	broker.Inbox
	b *Broker
}

func (in *inbox) Receive(ctx context.Context) (broker.Mail, error) {
	for {
		mail, err := in.Inbox.Receive(ctx)
		if err != nil {
			return mail, err
		}
		_ = in.b.before(ctx, Receive, len(mail.Letters))
		h := in.b.now()
		if h.Lose != nil {
			kept := mail.Letters[:0]
			for _, l := range mail.Letters {
				if !h.Lose(l) {
					kept = append(kept, l)
				}
			}
			mail.Letters = kept
		}
		if h.Gap != nil && h.Gap() {
			mail.Gap = true
		}
		if len(mail.Letters) > 0 || mail.Gap || len(mail.Posts) > 0 {
			return mail, nil
		}
	}
}

// Total returns how many requests there were of all kinds but receipts, which
// are pushed.
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
