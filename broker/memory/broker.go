package memory

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Where to begin reading: broker.go, record.go and queue.go have the data. enqueue.go,
// dequeue.go, settle.go and cancel.go follow a task through its life; lease.go ends
// consumers that died. index.go finds tasks by their ids, also after their end, with
// task_table.go, arena.go and expiry_queue.go; sweep.go forgets them. inbox.go and topic.go
// push outcomes and events. The optional capabilities are in flow.go, flows.go, blocked.go
// and arrival.go (groups and pipes), squad.go, park.go and abandon.go, start.go, halt.go,
// follow.go and inspect.go.
//
// Each task is a record. The index finds it by its id, and its queue has it in a list or
// heap that fits its state: pending, scheduled, parked, running and so on. A task that
// becomes due is moved by the next call that locks its queue, so the queue is always up to
// date. An alarm, which is a timer, does the same for a queue that nobody uses.
//
// Locks are taken in this order, each at most once, and never held during a wait or a
// callback: sweeper.mu, naming, queue.mu (of one queue at a time), then one of shard.mu,
// topics.mu, members.mu, inboxes.mu, inbox.mu, followers.mu, unused.mu and charges.mu, and
// last alarm.mu.

// Broker keeps tasks in the memory of the process. [New] makes one. It implements
// [broker.Broker] and every optional capability: [broker.Inspector], [broker.Flows],
// [broker.Squads], [broker.Parker], [broker.Follower], [broker.Starter] and
// [broker.Halter]. Its methods may be called concurrently. Programs that only send and run
// tasks call few of them: Close, and those of the Inspector.
type Broker struct {
	clock  clock
	lease  time.Duration
	limits broker.Limits

	queues    sync.Map     // of *queue by name
	naming    sync.RWMutex // read-locked while a queue is looked up and used; locked while queues are forgotten
	unused    unusedQueues
	index     index
	members   members
	inboxes   inboxes
	followers followers
	topics    topics
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

// Limits returns the sizes that the broker accepts.
func (b *Broker) Limits() broker.Limits { return b.limits }

// enter begins every method that has a context. It returns the time of the operation.
// Consumers whose leases have ended by then have given back their tasks.
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
