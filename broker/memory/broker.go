package memory

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Broker keeps tasks in the memory of the process. It implements
// [broker.Broker], [broker.Inspector], [broker.Flows], [broker.Squads],
// [broker.Parker] and [broker.Follower]; [New] makes one.
//
// Locks are taken in this order, none twice, and never held across a wait or a
// call of the user's: sweeper.mu, naming, queue.mu (one at a time), then one of
// shard.mu, topics.mu, members.mu, inboxes.mu, inbox.mu, followers.mu, vacant.mu, and
// last alarm.mu.
type Broker struct {
	clock  clock
	lease  time.Duration
	limits broker.Limits

	queues    sync.Map     // of *queue by name
	naming    sync.RWMutex // held for reading from when a queue is looked up until it is used, and while one is forgotten
	vacant    vacant
	index     index
	members   members
	inboxes   inboxes
	followers followers
	topics    topics
	sweeper   sweeper
	unheard   atomic.Bool // tasks may be abandoned that nobody was asked about

	closed atomic.Bool
	done   chan struct{} // closed with it
}

var (
	_ broker.Broker    = (*Broker)(nil)
	_ broker.Inspector = (*Broker)(nil)
	_ broker.Flows     = (*Broker)(nil)
	_ broker.Squads    = (*Broker)(nil)
	_ broker.Parker    = (*Broker)(nil)
	_ broker.Follower  = (*Broker)(nil)
)

// New returns an empty broker. It starts no goroutine.
func New(opts ...Option) *Broker {
	cfg := config{lease: DefaultLease, limits: broker.Limits{}.WithDefaults()}
	for _, opt := range opts {
		if opt != nil {
			opt.apply(&cfg)
		}
	}
	b := &Broker{
		clock:  clock{start: time.Now()},
		lease:  cfg.lease,
		limits: cfg.limits,
		done:   make(chan struct{}),
	}
	b.sweeper.alarm.init(&b.clock, b.sweepAll)
	b.index.init(&b.sweeper.alarm)
	b.members.init(b)
	b.inboxes.init()
	b.topics.init(&b.clock, &b.sweeper.alarm)
	return b
}

// Limits returns the sizes the broker accepts.
func (b *Broker) Limits() broker.Limits { return b.limits }

// enter is the first thing that a method with a context does. It returns the
// time of the operation, with all owners whose lease has ended by then gone.
func (b *Broker) enter(ctx context.Context) (instant, error) {
	if b.closed.Load() {
		return 0, errClosed
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := b.clock.now()
	b.reap(now)
	return now, nil
}

// Close ends every wait with ErrClosed. What the broker kept is gone with the
// last reference to it. It returns nil and may be called twice.
func (b *Broker) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	close(b.done)
	b.sweeper.alarm.end()
	b.members.alarm.end()
	b.queues.Range(func(_, q any) bool {
		q.(*queue).alarm.end()
		return true
	})
	return nil
}
