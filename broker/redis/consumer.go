package redis

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// This file opens and closes the consumer of a minion, and takes the messages of its pub/sub
// channels.
//
// A consumer registers in the sorted set minions of each partition that it serves. Its score
// there is the end of its lease, which heartbeats extend (heartbeat.go). While the lease lasts,
// the tasks that it dequeues (dequeue.go, blocking_move.go) are its own, and nobody else can settle
// them (settle.go). If it loses the lease in any partition it is lost as a whole: every method
// then returns ErrLeaseLost, and the minion opens another consumer.
//
// Pub/sub tells a consumer of cancels, posts of squads, new tasks and parked tasks. Such
// messages can be lost, so they only set flags, and heartbeats find the same things later.

// consumer implements [broker.Consumer].
type consumer struct {
	b      *Broker
	id     broker.ID
	minion string // id in the form that keys and scripts have
	able   *broker.Ability
	cfg    broker.ConsumerConfig
	queues map[string]*queue
	order  []*keys // all partitions of these queues
	single bool    // one partition: Dequeue waits with blocking moves; else it waits for the wake channels

	mu          sync.Mutex
	held        held                    // tasks that the consumer holds
	early       map[broker.ID]time.Time // cancels that came before their tasks, and when
	pushed      map[broker.ID]push      // attempts that may be delivered more than once; see first
	ready       map[*keys]bool          // partitions that may have tasks; unused if single
	parked      map[*keys]bool          // partitions that may have parked tasks that it can run
	clock       int64                   // the server's time in ms at clockAt
	clockAt     time.Time
	due         map[*keys]time.Time    // when the next task of a partition is due, by the local clock
	suspect     bool                   // a reply with tasks may have been lost: the next Dequeue asks the server for them
	excess      int                    // heartbeats in a row at which the server counted more tasks than held has
	unreachable map[*keys]bool         // unreachable partitions
	doubted     map[*keys]bool         // those of them from which a reply with tasks may have been lost
	lost        bool                   // the lease is lost
	cutOff      bool                   // the last heartbeat failed
	last        held                   // what it held when it was lost or closed
	stepped     map[broker.ID]struct{} // tasks of held that may have saved state; nil until there is one
	recorded    map[broker.ID]uint32   // attempts whose start is recorded; nil until there is one
	closed      bool

	changed    chan struct{}   // capacity 1: signals that ready, due, suspect or lost has changed
	closing    chan struct{}   // closed by Close
	ctx        context.Context // cancelled by Close
	end        context.CancelFunc
	heartbeats redis.UniversalClient // the client for heartbeats
	announcing chan struct{}         // capacity 1: has a token while announce or withdraw runs
	// following has capacity 1. It has a token while the goroutine of follow runs.
	following chan struct{}
	started   time.Time
	sub       *subscription
	orphans   orphanSearch

	// dequeuing is locked by Dequeue. It guards the fields below.
	dequeuing sync.Mutex
	turn      int           // number of calls of Dequeue
	straight  bool          // the next Dequeue waits with a move at once and does not run the script first
	straights int           // how often in a row it has done so
	trip      time.Duration // how long the last run of the dequeue script took
	mover     mover
}

// Consume implements [broker.Broker].
func (b *Broker) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	return askOr(ctx, func() (broker.Consumer, error) { return b.consumeNow(ctx, cfg) }, func(c broker.Consumer, err error) {
		if err == nil {
			_ = c.Close(b.ctx)
		}
	})
}

// consumeNow opens a consumer. It registers its queues first, then subscribes to its channels and
// registers the consumer (join). A queue whose registration fails is used all the same if it is
// known from before: then its server may be unreachable only for now.
func (b *Broker) consumeNow(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if len(cfg.Queues) == 0 {
		return nil, fmt.Errorf("consumer: %w: no queues", broker.ErrInvalid)
	}
	if cfg.Slots < 1 {
		return nil, fmt.Errorf("consumer: %w: %d slots, want 1 or more", broker.ErrInvalid, cfg.Slots)
	}
	for _, q := range cfg.Queues { // all of them before the first one is registered
		if err := broker.CheckName("queue", q); err != nil {
			return nil, fmt.Errorf("consumer: %w", err)
		}
	}
	c := &consumer{
		b: b, id: broker.NewID(broker.KindParty, "", 0), cfg: cfg,
		queues: make(map[string]*queue),
		held:   newHeld(), early: make(map[broker.ID]time.Time),
		pushed:      make(map[broker.ID]push),
		able:        broker.NewAbility(cfg.Tasks, b.cfg.reads),
		parked:      make(map[*keys]bool),
		unreachable: make(map[*keys]bool), doubted: make(map[*keys]bool), ready: make(map[*keys]bool), due: make(map[*keys]time.Time),
		changed: make(chan struct{}, 1), closing: make(chan struct{}), announcing: make(chan struct{}, 1), following: make(chan struct{}, 1), started: time.Now(),
	}
	c.minion = string(c.id[:])
	c.ctx, c.end = context.WithCancel(b.ctx)
	for _, q := range cfg.Queues {
		if c.queues[q] != nil {
			continue
		}
		known, err := b.queues.register(ctx, q)
		if known == nil {
			known = b.queues.known(q)
		}
		if known == nil {
			return nil, err
		}
		c.queues[q] = known
		for _, k := range c.queues[q].parts {
			c.order = append(c.order, k)
			c.ready[k] = true
			c.maybeParked(k)
		}
	}
	c.single = len(c.order) == 1
	c.heartbeats = b.heartbeatClient()
	if err := c.register(ctx); err != nil {
		c.discard()
		return nil, err
	}
	b.consumers.add(c)
	b.listen(c)
	b.startHousekeeping()
	return c, nil
}

// register subscribes to the channels of the consumer, registers it with its partitions and sends
// the first heartbeat. It subscribes first, so that it misses nothing that happens after it
// has registered.
func (c *consumer) register(ctx context.Context) error {
	channels := []string{channel(c.b.space.channels, c.id)}
	if c.cfg.Squads.OnPost != nil || c.cfg.Squads.OnAssign != nil {
		channels = append(channels, channel(c.b.space.posts, c.id))
	}
	if !c.single {
		for _, k := range c.order {
			channels = append(channels, k.wake)
		}
	}
	if !c.able.None() { // only a minion that tells its tasks can be given parked ones
		for _, k := range c.order {
			channels = append(channels, k.park)
		}
	}
	sub, err := c.b.hub.subscribe(ctx, "subscribe a minion", channels, c.onMessage, c.onGap)
	if err != nil {
		return err
	}
	c.sub = sub
	// With several partitions some may be unreachable.
	for i, err := range c.registerWith(ctx, c.order) {
		if err != nil {
			if err := c.tolerate(c.order[i], err); err != nil {
				return err
			}
		}
	}
	asked := time.Now()
	info, chores, err := c.renewLeases(ctx, broker.Load{})
	if err != nil {
		return err
	}
	c.follow(ctx, asked, info, chores)
	return nil
}

// discard ends a consumer that could not be opened. Its registrations stay until its lease
// has ended.
func (c *consumer) discard() {
	c.end()
	c.closeHeartbeatClient()
	if c.sub != nil {
		c.sub.close()
	}
}

func (c *consumer) leaseMillis() int64 { return c.b.cfg.lease.Milliseconds() }

// ID implements [broker.Consumer].
func (c *consumer) ID() broker.ID { return c.id }

// Lease implements [broker.Consumer].
func (c *consumer) Lease() (lease, every time.Duration) {
	return c.b.cfg.lease, c.b.cfg.lease / 3
}

// onMessage takes a message of one of the consumer's channels. It is called by the reader of the
// pub/sub connection, so it must not block.
func (c *consumer) onMessage(ch, payload string) {
	if ch == channel(c.b.space.channels, c.id) {
		if len(payload) == len(broker.ID{}) {
			c.cancel(toID(payload))
		}
		return
	}
	if ch == channel(c.b.space.posts, c.id) {
		c.posted(payload)
		return
	}
	// The other channels belong to queues. They only tell that Dequeue has a reason to ask.
	c.mu.Lock()
	for _, k := range c.order {
		switch ch {
		case k.wake:
			c.ready[k] = true
		case k.park:
			if need, ok := readNeed(payload); !ok || !c.able.Fits(need) {
				c.mu.Unlock()
				return
			}
			c.maybeParked(k)
		}
	}
	c.mu.Unlock()
	c.change()
}

// onGap is called when messages of the channels may have been lost: any partition may then
// have tasks.
func (c *consumer) onGap() {
	c.mu.Lock()
	for _, k := range c.order {
		c.ready[k] = true
		c.maybeParked(k)
	}
	c.mu.Unlock()
	c.change()
}

// arrived tells the minion that a queue has arrivals.
func (c *consumer) arrived(k *keys) {
	if c.cfg.Flows.OnArrivals != nil {
		c.cfg.Flows.OnArrivals(k.queue)
	}
}

// change wakes a waiting Dequeue, so that it looks at the flags again.
func (c *consumer) change() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// earlyFor is how long a cancel is remembered whose task has not been delivered yet, and how
// long an attempt is remembered that may be delivered once more.
const earlyFor = 30 * time.Second

// cancel passes on the cancel of a task. If the task is not held yet, the cancel is
// remembered, and Dequeue marks the task as cancelled when it delivers it.
func (c *consumer) cancel(id broker.ID) {
	c.mu.Lock()
	_, holds := c.held.get(id)
	if !holds && len(c.early) < broker.MaxBatch { // bounded, since most ids may never come
		c.early[id] = time.Now()
	}
	c.mu.Unlock()
	if holds && c.cfg.OnCancel != nil {
		c.cfg.OnCancel(id)
	}
}

// usable returns an error if the consumer can't ask for tasks: ErrClosed, ErrLeaseLost, or
// ctx.Err().
func (c *consumer) usable(ctx context.Context) error {
	if err := c.b.alive(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return c.errClosed()
	case c.lost:
		return fmt.Errorf("minion %s: %w", c.id, broker.ErrLeaseLost)
	}
	return nil
}

// lose notes that the lease is lost, and returns ErrLeaseLost.
func (c *consumer) lose() error {
	c.mu.Lock()
	c.lost = true
	c.letGo()
	c.mu.Unlock()
	c.change()
	return fmt.Errorf("minion %s: %w: it is no longer registered", c.id, broker.ErrLeaseLost)
}

// Close implements [broker.Consumer].
func (c *consumer) Close(ctx context.Context) error {
	// From here on all other methods fail, even if the requests to the server do.
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.letGo()
	c.mu.Unlock()
	if first {
		close(c.closing)
		c.end()
	}
	return do(ctx, func() error { return c.close(ctx, first) })
}

// close removes the consumer from the server: it ends the blocking move, gives back its
// tasks and deletes its registrations. A second call, with first false, repeats the requests,
// in case the first call failed.
func (c *consumer) close(ctx context.Context, first bool) error {
	if first {
		defer c.closeHeartbeatClient()
		c.sub.close()
		c.b.unlisten(c)
	}
	c.dequeuing.Lock() // a Dequeue that waits returns, since closing is closed
	fence := c.mover.fence()
	c.mover.close()
	c.dequeuing.Unlock()
	// Try all partitions, and report the first error.
	var err error
	for _, k := range c.order {
		if e := c.signOff(ctx, k, fence); e != nil && err == nil {
			err = e
		}
	}
	e := c.withdraw(ctx)
	if err == nil && e != nil {
		err = e
	}
	if err == nil {
		c.b.consumers.remove(c.id)
	}
	return err
}
