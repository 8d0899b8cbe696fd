package redis

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// consumer is a minion's place. What it does is spread over dequeue.go, pop.go,
// settle.go, beat.go and leave.go.
type consumer struct {
	b      *Broker
	id     broker.ID
	minion string // id as the keys and scripts have it
	able   *broker.Ability
	cfg    broker.ConsumerConfig
	queues map[string]*queue
	order  []*keys
	single bool // one place to ask: it waits with blocking moves; else it listens

	mu       sync.Mutex
	held     held
	early    map[broker.ID]time.Time // cancels that came before their task did
	pushed   map[broker.ID]push      // what may come to us in more than one way; see first
	ready    map[*keys]bool          // queues that may have tasks; for several queues
	parked   map[*keys]bool          // queues that may have parked tasks for it
	clock    int64                   // the server's time in ms at clockAt
	clockAt  time.Time
	due      map[*keys]time.Time  // when a queue's next task is due, by our clock
	suspect  bool                 // a reply was lost: ask the server what we hold
	strange  int                  // heartbeats in a row that counted more than we hold
	away     map[*keys]bool       // queues whose server can't be reached
	doubted  map[*keys]bool       // those of them where a reply may have been lost
	lost     bool                 // no longer registered
	cutOff   bool                 // the last heartbeat failed
	last     held                 // what it held when it was lost or closed
	recorded map[broker.ID]uint32 // attempts whose start is recorded; nil until there is one
	closed   bool

	changed chan struct{}   // capacity 1: ready, due, suspect or lost has changed
	gone    chan struct{}   // closed by Close
	ctx     context.Context // ends with Close
	end     context.CancelFunc
	beats   redis.UniversalClient // for heartbeats
	telling chan struct{}         // capacity 1, holds a token while the namespace is told of the minion
	// following has capacity 1, and holds a token while there is something to do that
	// follows on a heartbeat.
	following chan struct{}
	started   time.Time
	sub       *subscription
	orphans   orphanage

	dequeuing sync.Mutex    // held by Dequeue
	turn      int           // counts its calls; used with it
	straight  bool          // wait at once, without asking first; used with it,
	straights int           // and how often in a row that was done,
	trip      time.Duration // and how long the script took when it was asked last
	pop       popper        // used with it
}

// Consume implements [broker.Broker].
func (b *Broker) Consume(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	return askOr(ctx, func() (broker.Consumer, error) { return b.consumeNow(ctx, cfg) }, func(c broker.Consumer, err error) {
		if err == nil {
			_ = c.Close(b.ctx)
		}
	})
}

func (b *Broker) consumeNow(ctx context.Context, cfg broker.ConsumerConfig) (broker.Consumer, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if len(cfg.Queues) == 0 {
		return nil, fmt.Errorf("consumer: %w: no queue", broker.ErrInvalid)
	}
	if cfg.Slots < 1 {
		return nil, fmt.Errorf("consumer: %w: %d slots, want 1 or more", broker.ErrInvalid, cfg.Slots)
	}
	c := &consumer{
		b: b, id: broker.NewID(broker.KindParty, "", 0), cfg: cfg,
		queues: make(map[string]*queue),
		held:   newHeld(), early: make(map[broker.ID]time.Time),
		pushed: make(map[broker.ID]push),
		able:   broker.NewAbility(cfg.Tasks),
		parked: make(map[*keys]bool),
		away:   make(map[*keys]bool), doubted: make(map[*keys]bool), ready: make(map[*keys]bool), due: make(map[*keys]time.Time),
		changed: make(chan struct{}, 1), gone: make(chan struct{}), telling: make(chan struct{}, 1), following: make(chan struct{}, 1), started: time.Now(),
	}
	c.minion = string(c.id[:])
	c.ctx, c.end = context.WithCancel(b.ctx)
	c.able.Reads(b.cfg.reads)
	for _, q := range cfg.Queues {
		if err := broker.CheckName("queue", q); err != nil {
			return nil, err
		}
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
	c.beats = b.beating()
	if err := c.join(ctx); err != nil {
		c.abandon()
		return nil, err
	}
	b.crew.add(c)
	b.listen(c)
	b.keep()
	return c, nil
}

func (c *consumer) join(ctx context.Context) error {
	channels := []string{channel(c.b.space.channels, c.id)}
	if c.cfg.OnPost != nil || c.cfg.OnAssign != nil {
		channels = append(channels, channel(c.b.space.posts, c.id))
	}
	if !c.single {
		for _, k := range c.order {
			channels = append(channels, k.wake)
		}
	}
	if !c.able.None() {
		for _, k := range c.order {
			channels = append(channels, k.park)
		}
	}
	sub, err := c.b.hub.subscribe(ctx, "subscribe a minion", channels, c.hear, c.heal)
	if err != nil {
		return err
	}
	c.sub = sub
	for i, err := range c.enter(ctx, c.order) {
		if err != nil {
			if err := c.missed(c.order[i], err); err != nil {
				return err
			}
		}
	}
	asked := time.Now()
	info, chores, err := c.beat(ctx, broker.Load{})
	if err != nil {
		return err
	}
	c.follow(ctx, asked, info, chores)
	return nil
}

// abandon ends a consumer that could not be opened; what it registered ends
// with its lease.
func (c *consumer) abandon() {
	c.end()
	c.endBeats()
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

// hear takes what is published to the consumer's channels.
func (c *consumer) hear(ch, payload string) {
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

// heal is told that messages may have been lost.
func (c *consumer) heal() {
	c.mu.Lock()
	for _, k := range c.order {
		c.ready[k] = true
		c.maybeParked(k)
	}
	c.mu.Unlock()
	c.change()
}

// arrived says that a queue has arrivals.
func (c *consumer) arrived(k *keys) {
	if c.cfg.OnArrivals != nil {
		c.cfg.OnArrivals(k.queue)
	}
}

func (c *consumer) change() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// earlyFor is how long a cancel waits for its task to be delivered, and how late
// a message may be that brings one.
const earlyFor = 30 * time.Second

func (c *consumer) cancel(id broker.ID) {
	c.mu.Lock()
	_, holds := c.held.get(id)
	if !holds && len(c.early) < broker.MaxBatch {
		c.early[id] = time.Now()
	}
	c.mu.Unlock()
	if holds && c.cfg.OnCancel != nil {
		c.cfg.OnCancel(id)
	}
}

// usable says whether the consumer can still ask for tasks.
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

func (c *consumer) lose() error {
	c.mu.Lock()
	c.lost = true
	c.letGo()
	c.mu.Unlock()
	c.change()
	return fmt.Errorf("minion %s: %w: it is not registered any more", c.id, broker.ErrLeaseLost)
}

// Close implements [broker.Consumer].
func (c *consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.letGo()
	c.mu.Unlock()
	if first {
		close(c.gone)
		c.end()
	}
	return do(ctx, func() error { return c.close(ctx, first) })
}

// close does what Close has to ask the server for.
func (c *consumer) close(ctx context.Context, first bool) error {
	if first {
		defer c.endBeats()
		c.sub.close()
		c.b.unlisten(c)
	}
	c.dequeuing.Lock() // it has been told, by gone
	fence := c.pop.fence()
	c.pop.close()
	c.dequeuing.Unlock()
	var err error
	for _, k := range c.order {
		if e := c.signOff(ctx, k, fence); e != nil && err == nil {
			err = e
		}
	}
	e := c.farewell(ctx)
	if err == nil && e != nil {
		err = e
	}
	if err == nil {
		c.b.crew.remove(c.id)
	}
	return err
}
