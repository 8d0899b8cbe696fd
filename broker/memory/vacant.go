package memory

import (
	"sync"
	"time"
)

// unusedFor is how long a queue is unused before it is forgotten. A queue is unused if it
// has no task, no dead letter and no arrival, and no consumer serves it.
const unusedFor = 2 * time.Hour

// vacant lists the queues that have become unused.
type vacant struct {
	mu     sync.Mutex
	agenda agenda[string] // names of queues, by when they can be forgotten
}

// used reports whether the queue is in use.
func (q *queue) used() bool {
	return q.live > 0 || q.serving > 0 || q.arrivals.size() > 0 || len(q.halts) > 0
}

// turn records that the queue has become used or unused.
func (q *queue) turn() {
	if q.used() {
		q.since = 0
		return
	}
	q.since = max(q.b.clock.now(), 1)
	q.look(q.since.plus(unusedFor))
}

// look lets the sweeper look at the queue at a time, unless it is going to do so already.
func (q *queue) look(at instant) {
	if q.noted {
		return
	}
	q.noted = true
	v := &q.b.vacant
	v.mu.Lock()
	v.agenda.add(at, q.name)
	next := v.agenda.next()
	v.mu.Unlock()
	q.b.sweeper.alarm.set(next)
}

// tidyQueues forgets queues that have been unused for unusedFor. It looks at up to n
// queues. It returns how many it has looked at, and when more are due.
func (b *Broker) tidyQueues(now instant, n int) (done int, next instant) {
	v := &b.vacant
	v.mu.Lock()
	names := v.agenda.take(now, n)
	next = v.agenda.next()
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
		q.noted = false
		switch over := q.since.plus(unusedFor); {
		case q.since == 0:
		case over > now:
			q.look(over)
			next = min(next, minuteEnd(over))
		default:
			b.queues.Delete(name)
			q.alarm.end()
		}
		q.mu.Unlock()
	}
	return len(names), next
}
