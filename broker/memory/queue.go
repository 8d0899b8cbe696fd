package memory

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// queue keeps the tasks of one queue. Its methods but lock want its lock to be
// held, and it is unlocked by unlock only.
type queue struct {
	name  string
	b     *Broker
	alarm alarm // rings when a task becomes due or expires, or a dead letter ends

	mu      sync.Mutex
	ready   list     // pending
	later   timeline // scheduled, retrying, parked, and what is blocked for a time only
	asleep  int      // how many of later are blocked
	running int      // in the lists of holds
	dead    list     // dead letters, in the order they came
	ending  timeline // the same, by their end
	parked  parked   // the parked ones of later, by what they need
	late    []late   // those that were parked for as long as they may be, some of which wait
	unique  table[string, *record]
	seq     uint64

	deadlines deadlines                           // of tasks that have one
	failures  table[*record, *broker.LastFailure] // of tasks that are retried

	halts    map[broker.ID]instant // flows whose members are not handed out, since when; see halt.go
	arrivals table[arrivalKey, *arrival]
	orphans  atomic.Int32 // how many arrivals a Cancel or an expiry made

	// waiters are the wake-up channels of those who found nothing. Whenever the
	// lock is free, nothing is ready or nobody waits, and nobody waits who may have what
	// is parked.
	waiters map[chan struct{}]struct{}

	live    int     // tasks that are not final, and dead letters
	serving int     // consumers that may dequeue from it
	left    instant // when the last of them has left
	since   instant // when it was used last; 0 while it is used
	noted   bool    // somebody will look whether it is still unused; see vacant.go
}

// known returns the queue with a name, nil if no task and no consumer has made it.
func (b *Broker) known(name string) *queue {
	if q, ok := b.queues.Load(name); ok {
		return q.(*queue)
	}
	return nil
}

// queue returns the queue with a valid name, and makes it if it is not known. b.naming
// is held, for reading, until it is used.
func (b *Broker) queue(name string) *queue {
	if q, ok := b.queues.Load(name); ok {
		return q.(*queue)
	}
	q := &queue{
		name: name, b: b,
		unique:   newTable[string, *record](),
		arrivals: newTable[arrivalKey, *arrival](),
		waiters:  map[chan struct{}]struct{}{},
	}
	q.alarm.init(&b.clock, q.update)
	known, _ := b.queues.LoadOrStore(name, q)
	return known.(*queue)
}

// lock locks the queue and brings it to the state that it has now.
func (q *queue) lock(now instant) {
	q.mu.Lock()
	for r := q.later.due(now); r != nil; r = q.later.due(now) {
		switch r.state {
		case broker.StateBlocked:
			q.asleep--
		case broker.StateParked:
			q.parked.remove(r)
			r.overdue = true
		}
		q.back(r)
		if r.overdue {
			q.noteLate(r)
		}
	}
	for r := q.ending.due(now); r != nil; r = q.ending.due(now) {
		q.dead.remove(r)
		r.task = nil
		q.live--
	}
}

// unlock unlocks the queue. If anything is ready, or was parked since it was locked,
// it wakes all who wait: the losers wait again, and no wake-up is ever lost.
func (q *queue) unlock() {
	if q.used() != (q.since == 0) {
		q.turn()
	}
	if (q.ready.n > 0 || q.parked.news) && len(q.waiters) > 0 {
		for wake := range q.waiters {
			select {
			case wake <- struct{}{}:
			default: // it has one already
			}
		}
		clear(q.waiters)
	}
	q.parked.news = false
	q.mu.Unlock()
}

// update is what the queue's alarm runs.
func (q *queue) update() {
	now := q.b.clock.now()
	post := post{also: &q.b.followers}
	q.lock(now)
	arrived := q.expire(now, &post)
	abandoned := q.abandoned(now)
	q.alarm.set(min(q.later.first(), q.ending.first(), q.deadlines.first()))
	if at := q.abandonedAt(); at > now {
		q.alarm.set(at)
	}
	q.unlock()
	post.deliver(q.b)
	if arrived {
		q.b.tellArrivals(q)
	}
	if len(abandoned) > 0 {
		q.b.abandon(q, abandoned)
	}
}

// detach takes a record out of the place it is in. The caller puts it in
// another at once.
func (q *queue) detach(r *record) {
	switch r.state {
	case broker.StatePending:
		q.ready.remove(r)
	case broker.StateScheduled, broker.StateRetrying:
		q.later.remove(r)
	case broker.StateParked:
		q.later.remove(r)
		q.parked.remove(r)
	case broker.StateBlocked:
		if r.slot >= 0 {
			q.later.remove(r)
			q.asleep--
		}
	case broker.StateRunning:
		h := r.hold
		h.list.remove(r)
		if r.canceled {
			h.canceled--
		}
		r.hold = nil
		q.running--
	case broker.StateFailed:
		q.dead.remove(r)
		q.ending.remove(r)
	}
}

// back puts a detached record at the end of what is ready.
func (q *queue) back(r *record) {
	r.state = broker.StatePending
	q.ready.pushBack(r)
}

// front puts a detached record before all that is ready.
func (q *queue) front(r *record) {
	r.state = broker.StatePending
	q.ready.pushFront(r)
}

// behind puts a detached record behind another one, or to the front if that is
// nil or not ready any more.
func (q *queue) behind(before, r *record) {
	r.state = broker.StatePending
	if before == nil || before.state != broker.StatePending {
		q.ready.pushFront(r)
		return
	}
	q.ready.insert(before, r)
}

// wait lets a detached record wait for its time in a state.
func (q *queue) wait(r *record, state broker.State, due instant) {
	r.state = state
	q.seq++
	r.at, r.seq = due, q.seq
	q.later.push(r)
	q.alarm.set(due)
}

// block lets a detached record wait for its release, or no longer than delay if
// that is positive.
func (q *queue) block(r *record, delay time.Duration, now instant) {
	r.state = broker.StateBlocked
	if delay > 0 {
		q.wait(r, broker.StateBlocked, now.plus(delay))
		q.asleep++
	}
}

// give makes a hold the owner of a detached record.
func (q *queue) give(r *record, h *hold) {
	r.state = broker.StateRunning
	r.hold = h
	h.list.pushBack(r)
	if r.canceled {
		h.canceled++
	}
	q.running++
}

// mark notes that a running task was cancelled.
func (q *queue) mark(r *record) {
	if !r.canceled {
		r.canceled = true
		r.hold.canceled++
	}
}

// finish ends a task. It keeps a copy of the outcome, of which it is given the
// record too.
func (q *queue) finish(r *record, o *broker.Outcome, written []byte, now instant) {
	q.detach(r)
	q.unwatch(r)
	t := r.task
	r.state = o.State
	if t.Unique != "" && q.holder(t.Unique) == r {
		q.unique.drop(t.Unique)
	}
	if !t.Group.IsZero() && !r.counted {
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
		q.ending.push(r)
		q.alarm.set(r.at)
		r.outcome = copyOutcome(o)
		written = nil
	} else {
		r.task = nil
		q.live--
	}
	q.b.index.retire(r, written, t.Meta, now, keep)
}

// failed notes why a task is retried.
func (q *queue) failed(r *record, why *broker.LastFailure) {
	if q.failures.m == nil { // most queues have none
		q.failures = newTable[*record, *broker.LastFailure]()
	}
	q.failures.put(r, why)
}

// holder returns the task that holds a unique key, or nil.
func (q *queue) holder(key string) *record {
	r, _ := q.unique.get(key)
	return r
}
