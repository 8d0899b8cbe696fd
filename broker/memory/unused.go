package memory

import (
	"sync"
	"time"
)

// unusedFor is how long a queue is unused before it is forgotten. A queue is unused if it
// has no task, no dead letter, no arrival, no unique key, no definition of a limit or
// weight, no pause and no bound, and no consumer serves it.
const unusedFor = 2 * time.Hour

// unusedQueues lists the queues that have become unused.
type unusedQueues struct {
	mu     sync.Mutex
	expiry expiryQueue[string] // names of queues, by when they can be forgotten
}

// used reports whether the queue is in use.
func (q *queue) used() bool {
	return q.live > 0 || q.consumers > 0 || q.arrivals.Len() > 0 || len(q.halts) > 0 || q.unique.Len() > 0 || q.lanes != nil || q.pauses != nil || q.bound > 0
}

// noteUse records that the queue has become used or unused.
func (q *queue) noteUse() {
	if q.used() {
		q.unusedSince = 0
		return
	}
	q.unusedSince = max(q.b.clock.now(), 1)
	q.checkUnused(q.unusedSince.plus(unusedFor))
}

// checkUnused lets the sweeper look at the queue at a time, unless the sweeper is going to
// do so anyway.
func (q *queue) checkUnused(at instant) {
	if q.unusedNoted {
		return
	}
	q.unusedNoted = true
	v := &q.b.unused
	v.mu.Lock()
	v.expiry.add(at, q.name)
	next := v.expiry.next()
	v.mu.Unlock()
	q.b.sweeper.alarm.set(next)
}

// forgetQueues forgets queues that have been unused for unusedFor. It looks at up to n
// queues. It returns how many it has looked at, and when more are due.
func (b *Broker) forgetQueues(now instant, n int) (done int, next instant) {
	v := &b.unused
	v.mu.Lock()
	names := v.expiry.take(now, n)
	next = v.expiry.next()
	v.mu.Unlock()
	if len(names) == 0 {
		return 0, next
	}
	b.naming.Lock()
	defer b.naming.Unlock()
	for _, name := range names {
		q := b.known(name)
		if q == nil {
			continue
		}
		q.mu.Lock()
		q.unusedNoted = false
		switch over := q.unusedSince.plus(unusedFor); {
		case q.unusedSince == 0:
		case over > now:
			q.checkUnused(over)
			next = min(next, minuteEnd(over))
		default:
			b.queues.Delete(name)
			q.alarm.end()
		}
		q.mu.Unlock()
	}
	return len(names), next
}
