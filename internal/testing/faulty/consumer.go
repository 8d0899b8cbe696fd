package faulty

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// consumer is a consumer with faults. On a real broker, a client that lost the reply to a dequeue
// gets the same tasks from a later dequeue. The wrapper does the same: kept holds the deliveries
// that the caller has not received yet.
type consumer struct {
	broker.Consumer
	b *Broker

	mu   sync.Mutex
	kept []kept
}

// kept is a delivery that the caller has not received yet, and the time when the broker handed it
// out.
type kept struct {
	*broker.Delivery
	at time.Time
}

// Consume implements [broker.Broker]. If the reply is lost, the consumer stays registered until its
// lease ends.
func (b *Broker) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	var c *consumer
	err := b.do(ctx, Consume, 1, func(ctx context.Context) (err error) {
		c = &consumer{b: b}
		c.Consumer, err = b.Broker.Consume(ctx, c.listen(cfg))
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// listen wraps the callbacks. It drops a call if the process has been killed, and most calls while
// the process hangs.
func (c *consumer) listen(cfg broker.ConsumerConfig) broker.ConsumerConfig {
	b := c.b
	if tell := cfg.OnCancel; tell != nil {
		cfg.OnCancel = func(id broker.ID) {
			c.mu.Lock()
			for _, d := range c.kept {
				if d.ID == id {
					d.Canceled = true
				}
			}
			c.mu.Unlock()
			if b.reachable() {
				tell(id)
			}
		}
	}
	if tell := cfg.Flows.OnArrivals; tell != nil {
		cfg.Flows.OnArrivals = func(queue string) {
			if b.life.Err() == nil {
				tell(queue)
			}
		}
	}
	if ask := cfg.OnAbandoned; ask != nil {
		cfg.OnAbandoned = func(d *broker.Delivery) (o broker.Outcome) {
			if b.life.Err() == nil {
				o = ask(d)
			}
			return o
		}
	}
	if tell := cfg.Squads.OnAssign; tell != nil {
		cfg.Squads.OnAssign = func(tasks []*broker.Delivery) {
			if b.reachable() {
				tell(tasks)
			} else {
				c.keep(tasks)
			}
		}
	}
	if tell := cfg.OnRenewed; tell != nil {
		cfg.OnRenewed = func(asked time.Time) {
			if b.reachable() {
				tell(asked)
			}
		}
	}
	if tell := cfg.Squads.OnPost; tell != nil {
		cfg.Squads.OnPost = func(payload []byte) {
			if b.reachable() {
				tell(payload)
			}
		}
	}
	return cfg
}

// keep adds deliveries that the caller has not received. A delivery that is kept already is not
// added again.
func (c *consumer) keep(tasks []*broker.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range tasks {
		same := func(k kept) bool { return k.ID == d.ID && k.Attempt == d.Attempt }
		if !slices.ContainsFunc(c.kept, same) {
			c.kept = append(c.kept, kept{d, time.Now()})
		}
	}
}

// found returns kept deliveries, with Left reduced by the time since the hand-out. It returns
// ErrLeaseLost if the consumer has lost its lease, since it owns no task then.
func (c *consumer) found(ctx context.Context, limit int) ([]*broker.Delivery, error) {
	c.mu.Lock()
	none := len(c.kept) == 0
	c.mu.Unlock()
	if none {
		return nil, nil
	}
	living, err := c.b.Broker.Minions(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range living {
		if m.ID == c.ID() {
			c.mu.Lock()
			defer c.mu.Unlock()
			n := min(limit, len(c.kept))
			out := make([]*broker.Delivery, n)
			for i, k := range c.kept[:n] {
				out[i] = k.Delivery
				if k.Left != broker.NoDeadline {
					out[i].Left = max(k.Left-time.Since(k.at), 0)
				}
			}
			c.kept = c.kept[n:]
			return out, nil
		}
	}
	return nil, broker.ErrLeaseLost
}

// Dequeue implements [broker.Consumer].
func (c *consumer) Dequeue(ctx context.Context, queues []string, limit int, wait time.Duration) ([]*broker.Delivery, error) {
	b := c.b
	ctx, done := b.begin(ctx)
	defer done()
	fault := b.strike(Dequeue, limit)
	if err := b.arrive(ctx, Dequeue, limit, fault); err != nil {
		return nil, err
	}
	got, err := c.found(ctx, limit)
	if len(got) == 0 && err == nil {
		got, err = c.Consumer.Dequeue(ctx, queues, limit, wait)
	}
	if fault.Effect == Twice && err == nil {
		c.keep(got)
		got, err = c.Consumer.Dequeue(ctx, queues, limit, 0)
	}
	lost := b.after(Dequeue, len(got)) // tasks that the After hook loses are not kept
	if lost != nil {
		return nil, lost
	}
	if bad := b.reply(ctx, Dequeue, len(got), fault, err); bad != nil && !errors.Is(bad, err) {
		c.keep(got)
		return nil, bad
	}
	return got, err
}

// Settle implements [broker.Consumer].
func (c *consumer) Settle(ctx context.Context, batch []broker.Settlement) ([]error, error) {
	return ask(ctx, c.b, Settle, len(batch), func(ctx context.Context) ([]error, error) {
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
		if err != nil || len(rest) == len(batch) {
			return errs, err
		}
		for i := range refused {
			if refused[i] == nil {
				refused[i], errs = errs[0], errs[1:]
			}
		}
		return refused, nil
	})
}

// Heartbeat implements [broker.Consumer].
func (c *consumer) Heartbeat(ctx context.Context, load broker.Load) error {
	return c.b.do(ctx, Heartbeat, 1, func(ctx context.Context) error { return c.Consumer.Heartbeat(ctx, load) })
}

// Close implements [broker.Consumer].
func (c *consumer) Close(ctx context.Context) error {
	return c.b.do(ctx, Leave, 1, func(ctx context.Context) error { return c.Consumer.Close(ctx) })
}
