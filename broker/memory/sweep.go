package memory

import (
	"sync"
)

// sweepChunk is how many entries are swept at a time, at most.
const sweepChunk = 1000

// sweeper forgets what nobody can see any more. One alarm drives it, and when
// there is much to do every operation helps with a chunk, so that what is swept
// keeps up with what is stored.
type sweeper struct {
	alarm alarm
	mu    sync.Mutex // one at a time; taken before those of shards and topics
	at    int        // the shard to go on with
}

// help sweeps a chunk if there is something to sweep and nobody does.
func (b *Broker) help(now instant) {
	if b.sweeper.alarm.due(now) && b.sweeper.mu.TryLock() {
		b.sweep(now)
		b.sweeper.mu.Unlock()
	}
}

// sweepAll is what the sweeper's alarm runs.
func (b *Broker) sweepAll() {
	for more := true; more && !b.closed.Load(); {
		b.sweeper.mu.Lock()
		more = b.sweep(b.clock.now())
		b.sweeper.mu.Unlock()
	}
}

// sweep sweeps one chunk and reports whether there is more to do now. It leaves
// the alarm set.
func (b *Broker) sweep(now instant) (more bool) {
	w := &b.sweeper
	w.alarm.clear()
	left := sweepChunk
	next := never
	visit := func(done int, at instant) bool {
		left -= done
		next = min(next, at)
		return left > 0
	}
	if visit(b.topics.tidy(now, left)) && visit(b.tidyQueues(now, left)) {
		for range b.index.shards {
			if !visit(b.index.shards[w.at].tidy(now, left)) {
				break
			}
			w.at = (w.at + 1) % shardCount
		}
	}
	if left <= 0 {
		next = now // what was not looked at may be due
	}
	w.alarm.set(next)
	return next <= now
}
