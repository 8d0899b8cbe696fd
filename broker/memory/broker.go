package memory

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Broker keeps tasks in the memory of the process. [New] makes one. It implements
// [broker.Broker] and every optional capability: [broker.Inspector], [broker.Flows],
// [broker.Squads], [broker.Parker], [broker.Uniques], [broker.Lanes], [broker.Documents], [broker.Reports], [broker.Follower],
// [broker.Starter] and [broker.Halter]. Its methods may be called concurrently. Programs that only send and run
// tasks call few of them: Close, and those of the Inspector.
type Broker struct {
	clock  clock
	lease  time.Duration
	limits broker.Limits
	bad    error // the first error of an option; every method with a context returns it

	queues    sync.Map     // of *queue by name
	naming    sync.RWMutex // read-locked while a queue is looked up and used; locked while queues are forgotten
	unused    unusedQueues
	windows   windows
	index     index
	members   members
	inboxes   inboxes
	followers followers
	topics    topics
	documents documents
	reports   reports
	sweeper   sweeper
	unasked   atomic.Bool // there may be abandoned tasks that no consumer was asked about

	closed atomic.Bool
	done   chan struct{} // closed when closed is set
}

var (
	_ broker.Broker    = (*Broker)(nil)
	_ broker.Inspector = (*Broker)(nil)
	_ broker.Flows     = (*Broker)(nil)
	_ broker.Squads    = (*Broker)(nil)
	_ broker.Parker    = (*Broker)(nil)
	_ broker.Follower  = (*Broker)(nil)
)

// New returns an empty broker. It starts no goroutine. If an option is invalid, every method
// but Limits and Close returns the error, which wraps [broker.ErrInvalid] and names the
// option.
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
		bad:    cfg.err,
		done:   make(chan struct{}),
	}
	b.sweeper.alarm.init(&b.clock, b.sweepAll)
	b.index.sweep = &b.sweeper.alarm
	b.members.init(b)
	b.inboxes.init()
	b.topics.init(&b.clock, &b.sweeper.alarm)
	return b
}

// Limits returns the sizes that the broker accepts.
func (b *Broker) Limits() broker.Limits { return b.limits }

// enter begins every method that has a context. It returns the time of the operation.
// Consumers whose leases have ended by then have given back their tasks.
func (b *Broker) enter(ctx context.Context) (instant, error) {
	if b.closed.Load() {
		return 0, errClosed
	}
	if b.bad != nil {
		return 0, b.bad
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := b.clock.now()
	b.reap(now)
	return now, nil
}

// Close ends every wait with [broker.ErrClosed], and later calls return this error. Close
// arbiters and stop minions before. The tasks are lost when nothing refers to the broker
// any more. It returns nil and may be called twice.
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
