package memory

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
)

// queue keeps the tasks of one queue. Each task is in one of its lists or timelines, which
// depends on the state of the task; see place.go. The lock method moves tasks that have
// become due, and the unlock method wakes consumers that wait. So every user of the lock
// finds the queue up to date, and no wake-up is lost. All other methods must be called with
// the lock held.
type queue struct {
	name  string
	b     *Broker
	alarm alarm // rings when a task becomes due or expires, or when a dead letter ends

	mu        sync.Mutex
	pending   recordList    // pending tasks without a lane
	lanes     *lanes        // pending tasks with a lane, and what belongs to lanes; nil if there is nothing of that
	pauses    *pauses       // nil if nothing is paused
	bound     int           // how many tasks may wait; 0 if that is not bounded
	scheduled timeline      // scheduled, retrying, parked, and blocked for a time only, by due time
	running   int           // number of tasks in holdings
	dead      recordList    // dead letters, oldest first
	deadByEnd timeline      // dead letters by the end of their retention
	parked    parked        // parked tasks by their needs
	overdue   []overdueTask // overdue tasks; see abandon.go
	seq       uint64        // the last record.seq that was given

	deadlines timeline                                    // tasks that have a deadline; see deadlines.go
	unique    shrinkmap.Map[string, *uniqueKey]           // unique keys that are held; see unique.go
	failures  shrinkmap.Map[*record, *broker.LastFailure] // last failures of tasks that are retried
	metas     shrinkmap.Map[*record, map[string]string]   // metadata of the enqueue, of tasks that were released with other metadata

	halts    map[broker.ID]instant // flows whose members are not handed out, with the time of the halt; see halt.go
	arrivals shrinkmap.Map[arrivalKey, *arrival]
	orphans  atomic.Int32 // number of arrivals that a Cancel or an expiry has made

	// waiters are the wake-up channels of consumers that found nothing. Whenever the lock
	// is free, there is no waiter that could have a task: the queue is paused, or pending is empty
	// and no class of lanes is open, or there are no waiters; and no waiter may have a task that is
	// parked.
	waiters map[chan struct{}]struct{}

	live          int     // number of dead letters and tasks that are not final
	consumers     int     // number of consumers that may dequeue from it
	unservedSince instant // when the last consumer has left
	unusedSince   instant // when it was last used; 0 while it is in use
	unusedNoted   bool    // the sweeper will look whether it is unused; see unused.go
}

// known returns the queue with the name, or nil if no task or consumer has made it known.
func (b *Broker) known(name string) *queue {
	if q, ok := b.queues.Load(name); ok {
		return q.(*queue)
	}
	return nil
}

// queue returns the queue with a valid name, and makes it if necessary. The caller has
// b.naming read-locked until it has used the queue.
func (b *Broker) queue(name string) *queue {
	if q, ok := b.queues.Load(name); ok {
		return q.(*queue)
	}
	q := &queue{
		name: name, b: b,
		scheduled: timeline{of: dueTime}, deadByEnd: timeline{of: dueTime}, deadlines: timeline{of: deadlineTime},
		waiters: map[chan struct{}]struct{}{},
	}
	q.alarm.init(&b.clock, q.update)
	known, _ := b.queues.LoadOrStore(name, q)
	return known.(*queue)
}

// withQueue does the work of a method about one queue: it calls fn with the queue locked, unless bad is set, which is what is wrong with
// the arguments. A queue that is not known is made if create is set; otherwise it has nothing
// that fn could read or change.
func (b *Broker) withQueue(ctx context.Context, name string, create bool, bad error, fn func(*queue, instant)) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	if err := broker.CheckName("queue", name); err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	b.naming.RLock()
	defer b.naming.RUnlock()
	q := b.known(name)
	if q == nil {
		if !create {
			return nil
		}
		q = b.queue(name)
	}
	q.lock(now)
	defer q.unlock()
	fn(q, now)
	return nil
}

// lock locks the queue and moves the tasks that have become due.
func (q *queue) lock(now instant) {
	q.mu.Lock()
	if q.lanes != nil {
		q.lanes.tick(now)
	}
	for r := q.scheduled.due(now); r != nil; r = q.scheduled.due(now) {
		q.becomeDue(r)
	}
	for r := q.deadByEnd.due(now); r != nil; r = q.deadByEnd.due(now) {
		q.dead.Remove(r)
		q.bury(r, tombstone{idUntil: r.idUntil}, nil)
	}
}

// unlock unlocks the queue. It wakes all waiters if a task may be handed out or was parked
// since the lock. Those that find nothing wait again, so no wake-up is lost.
func (q *queue) unlock() {
	open := q.pending.Len() > 0
	if q.lanes != nil {
		open = open || q.lanes.opened > 0
		if q.lanes.empty() {
			q.lanes = nil
		}
	}
	open = open && !q.paused()
	if q.used() != (q.unusedSince == 0) {
		q.noteUse()
	}
	if open || q.parked.news {
		q.wake()
	}
	q.parked.news = false
	q.mu.Unlock()
}

// wake wakes all waiters.
func (q *queue) wake() {
	if len(q.waiters) == 0 {
		return
	}
	for wake := range q.waiters {
		select {
		case wake <- struct{}{}:
		default: // it is woken already
		}
	}
	clear(q.waiters)
}

// update is called by the queue's alarm.
func (q *queue) update() {
	now := q.b.clock.now()
	notices := newNoticeBatch(q.b, 1)
	q.lock(now)
	arrived := q.expire(now, &notices)
	abandoned := q.abandoned(now)
	q.alarm.set(min(q.scheduled.first(), q.deadByEnd.first(), q.deadlines.first()))
	if at := q.abandonedAt(); at > now {
		q.alarm.set(at)
	}
	if q.lanes != nil {
		q.alarm.set(q.lanes.next())
	}
	q.unlock()
	notices.deliver(q.b)
	if arrived {
		q.b.tellOrphans(q)
	}
	if len(abandoned) > 0 {
		q.b.abandon(q, abandoned)
	}
}

// queueLock holds the lock of one queue at a time. Tasks that follow each other in a batch
// mostly have the same queue, so the lock is kept from one task to the next.
type queueLock struct {
	q   *queue // the locked queue, or nil
	now instant
}

// take locks a queue, and before that unlocks another one that it holds.
func (l *queueLock) take(q *queue) {
	if l.q != q {
		l.release()
		q.lock(l.now)
		l.q = q
	}
}

// release unlocks the queue that is locked, if any.
func (l *queueLock) release() {
	if l.q != nil {
		l.q.unlock()
		l.q = nil
	}
}
