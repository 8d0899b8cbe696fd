package memory

import (
	"sync"
)

// sweepChunk is the largest number of items that are swept in one step.
const sweepChunk = 1000

// sweeper forgets data that can no longer be found: outcomes, tombstones, flows, events, unique
// keys and unused queues. An alarm starts it. While there is much to do, each operation sweeps a
// chunk too, so the sweeper keeps up with the tasks that are stored.
type sweeper struct {
	alarm alarm
	mu    sync.Mutex // one goroutine sweeps at a time
	at    int        // index of the shard to go on with
}

// helpSweep sweeps a chunk if something is due and no other goroutine sweeps.
func (b *Broker) helpSweep(now instant) {
	if b.sweeper.alarm.due(now) && b.sweeper.mu.TryLock() {
		b.sweep(now)
		b.sweeper.mu.Unlock()
	}
}

// sweepAll is called by the sweeper's alarm.
func (b *Broker) sweepAll() {
	for more := true; more && !b.closed.Load(); {
		b.sweeper.mu.Lock()
		more = b.sweep(b.clock.now())
		b.sweeper.mu.Unlock()
	}
}

// sweep sweeps one chunk. It sets the alarm for the rest, and reports whether more is due
// now.
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
	if visit(b.topics.forgetExpired(now, left)) && visit(b.forgetQueues(now, left)) && visit(b.forgetWindows(now, left)) && visit(b.forgetReports(now, left)) {
		for range b.index.shards {
			if !visit(b.index.shards[w.at].forgetExpired(now, left)) {
				break
			}
			w.at = (w.at + 1) % shardCount
		}
	}
	if left <= 0 {
		next = now // the items that it has not looked at may be due
	}
	w.alarm.set(next)
	return next <= now
}
