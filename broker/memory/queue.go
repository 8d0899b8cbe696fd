package memory

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A queue has each of its tasks in one list or heap, which depends on the state: pending,
// scheduled, a holding of a consumer, or dead. A change of state takes the record out of
// one (detach) and puts it into another (pushBack, schedule, setOwner and so on). The lock
// method moves tasks that have become due, and the unlock method wakes consumers that wait.
// So every user of the lock finds the queue up to date, and no wake-up is lost.

// queue keeps the tasks of one queue. All methods but lock must be called with the lock
// held. It is released by unlock only.
type queue struct {
	name  string
	b     *Broker
	alarm alarm // rings when a task becomes due or expires, or when a dead letter ends

	mu           sync.Mutex
	pending      list          // pending tasks
	scheduled    recordHeap    // scheduled, retrying, parked, and blocked for a time only, by due time
	timedBlocked int           // number of blocked tasks in scheduled
	running      int           // number of tasks in holdings
	dead         list          // dead letters, oldest first
	deadByEnd    recordHeap    // dead letters by the end of their retention
	parked       parked        // parked tasks by their needs
	overdue      []overdueTask // overdue tasks; see abandon.go
	unique       shrinkMap[string, *record]
	seq          uint64

	deadlines deadlines                               // tasks that have a deadline
	failures  shrinkMap[*record, *broker.LastFailure] // last failures of tasks that are retried

	halts    map[broker.ID]instant // flows whose members are not handed out, with the time of the halt; see halt.go
	arrivals shrinkMap[arrivalKey, *arrival]
	orphans  atomic.Int32 // number of arrivals that a Cancel or an expiry has made

	// waiters are the wake-up channels of consumers that found nothing. Whenever the lock
	// is free, there is no waiter that could have a task: pending is empty or there are no
	// waiters, and no waiter may have a task that is parked.
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
		unique:   newShrinkMap[string, *record](),
		arrivals: newShrinkMap[arrivalKey, *arrival](),
		waiters:  map[chan struct{}]struct{}{},
	}
	q.alarm.init(&b.clock, q.update)
	known, _ := b.queues.LoadOrStore(name, q)
	return known.(*queue)
}

// lock locks the queue and moves the tasks that have become due.
func (q *queue) lock(now instant) {
	q.mu.Lock()
	for r := q.scheduled.due(now); r != nil; r = q.scheduled.due(now) {
		switch r.state {
		case broker.StateBlocked:
			q.timedBlocked--
		case broker.StateParked:
			q.parked.remove(r)
			r.overdue = true
		}
		q.pushBack(r)
		if r.overdue {
			q.addOverdue(r)
		}
	}
	for r := q.deadByEnd.due(now); r != nil; r = q.deadByEnd.due(now) {
		q.dead.remove(r)
		r.task = nil
		q.live--
	}
}

// unlock unlocks the queue. It wakes all waiters if a task is pending or was parked since
// the lock. Those that find nothing wait again, so no wake-up is lost.
func (q *queue) unlock() {
	if q.used() != (q.unusedSince == 0) {
		q.noteUse()
	}
	if (q.pending.n > 0 || q.parked.news) && len(q.waiters) > 0 {
		for wake := range q.waiters {
			select {
			case wake <- struct{}{}:
			default: // it is woken already
			}
		}
		clear(q.waiters)
	}
	q.parked.news = false
	q.mu.Unlock()
}

// update is called by the queue's alarm.
func (q *queue) update() {
	now := q.b.clock.now()
	notices := noticeBatch{followers: &q.b.followers}
	q.lock(now)
	arrived := q.expire(now, &notices)
	abandoned := q.abandoned(now)
	q.alarm.set(min(q.scheduled.first(), q.deadByEnd.first(), q.deadlines.first()))
	if at := q.abandonedAt(); at > now {
		q.alarm.set(at)
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

// detach takes a record out of the list or heap of its state. The caller puts it into
// another one at once.
func (q *queue) detach(r *record) {
	switch r.state {
	case broker.StatePending:
		q.pending.remove(r)
	case broker.StateScheduled, broker.StateRetrying:
		q.scheduled.remove(r)
	case broker.StateParked:
		q.scheduled.remove(r)
		q.parked.remove(r)
	case broker.StateBlocked:
		if r.heapIndex >= 0 {
			q.scheduled.remove(r)
			q.timedBlocked--
		}
	case broker.StateRunning:
		h := r.holding
		h.list.remove(r)
		if r.canceled {
			h.canceled--
		}
		r.holding = nil
		q.running--
	case broker.StateFailed:
		q.dead.remove(r)
		q.deadByEnd.remove(r)
	}
}

// pushBack makes a detached record pending, behind all pending ones.
func (q *queue) pushBack(r *record) {
	r.state = broker.StatePending
	q.pending.pushBack(r)
}

// pushFront makes a detached record pending, in front of all pending ones.
func (q *queue) pushFront(r *record) {
	r.state = broker.StatePending
	q.pending.pushFront(r)
}

// pushBehind makes a detached record pending behind another one, or in front of all if that one
// is nil or no longer pending.
func (q *queue) pushBehind(before, r *record) {
	r.state = broker.StatePending
	if before == nil || before.state != broker.StatePending {
		q.pending.pushFront(r)
		return
	}
	q.pending.insert(before, r)
}

// schedule lets a detached record wait for its due time, in the given state.
func (q *queue) schedule(r *record, state broker.State, due instant) {
	r.state = state
	q.seq++
	r.at, r.seq = due, q.seq
	q.scheduled.push(r)
	q.alarm.set(due)
}

// block lets a detached record wait for its release, and no longer than delay if that is
// positive.
func (q *queue) block(r *record, delay time.Duration, now instant) {
	r.state = broker.StateBlocked
	if delay > 0 {
		q.schedule(r, broker.StateBlocked, now.plus(delay))
		q.timedBlocked++
	}
}

// setOwner gives a detached record to a holding, whose consumer becomes its owner.
func (q *queue) setOwner(r *record, h *holding) {
	r.state = broker.StateRunning
	r.holding = h
	h.list.pushBack(r)
	if r.canceled {
		h.canceled++
	}
	q.running++
}

// markCanceled records that a running task was cancelled.
func (q *queue) markCanceled(r *record) {
	if !r.canceled {
		r.canceled = true
		r.holding.canceled++
	}
}

// finish ends a task with a copy of the outcome. Written is the encoded outcome.
func (q *queue) finish(r *record, o *broker.Outcome, written []byte, now instant) {
	q.detach(r)
	q.unwatchDeadline(r)
	t := r.task
	r.state = o.State
	if t.Unique != "" && q.holder(t.Unique) == r {
		q.unique.drop(t.Unique)
	}
	if !t.Group.IsZero() && !r.flowCounted {
		q.arrive(broker.Arrival{Task: r.id, Flow: t.Group, Step: t.Step, Outcome: *copyOutcome(o)})
	}
	if r.retried > 0 {
		q.failures.drop(r)
	}
	keep := t.Retention
	if o.State == broker.StateFailed && t.DeadFor > 0 {
		keep = max(keep, t.DeadFor)
		q.seq++
		r.at, r.seq = now.plus(keep), q.seq
		q.dead.pushBack(r)
		q.deadByEnd.push(r)
		q.alarm.set(r.at)
		r.outcome = copyOutcome(o)
		written = nil
	} else {
		r.task = nil
		q.live--
	}
	q.b.index.keepFinal(r, written, t.Meta, now, keep)
}

// setFailure stores the reason why a task is retried.
func (q *queue) setFailure(r *record, why *broker.LastFailure) {
	if q.failures.m == nil { // most queues have no retries
		q.failures = newShrinkMap[*record, *broker.LastFailure]()
	}
	q.failures.put(r, why)
}

// holder returns the task that has a unique key, or nil.
func (q *queue) holder(key string) *record {
	r, _ := q.unique.get(key)
	return r
}
