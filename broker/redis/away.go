package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// In a cluster one master can be away while the others serve. A consumer of
// several queues goes on with those it reaches. The queues of the other one are
// tried again with every heartbeat; what it holds there it can neither keep nor
// settle, so then its heartbeat fails as a whole.

// missed notes that a queue's server can't be reached, or that a key of the queue is of
// another type, and returns err if that ends more than this queue.
func (c *consumer) missed(k *keys, err error) error {
	if isSpoiled(err) {
		c.spoiled(c.b.ctx, k, err)
	}
	if c.single || !errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrDamaged) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if isSpoiled(err) {
		// What it holds there is no reason to stop the others: nobody can take it away.
		c.away[k] = true
		if len(c.away) == len(c.order) {
			return err
		}
		return nil
	}
	if c.held.in(k) {
		return err
	}
	if !c.away[k] {
		c.away[k] = true
		c.b.log.Warn("redis: a queue can't be reached; the others are served", "queue", k.queue, "error", err)
	}
	if len(c.away) == len(c.order) {
		return err
	}
	return nil
}

// isAway says whether a queue is not to be asked.
func (c *consumer) isAway(k *keys) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away[k]
}

// back notes that a queue is reached again.
func (c *consumer) back(k *keys) {
	c.mu.Lock()
	if c.away[k] {
		delete(c.away, k)
		c.ready[k] = true
		c.maybeParked(k)
		c.suspect = c.suspect || c.doubted[k]
		delete(c.doubted, k)
	}
	c.mu.Unlock()
}

// doubt notes that a reply may have been lost by a queue that is away: what it had
// is asked for when the queue is back. It returns false if it is back already.
func (c *consumer) doubt(k *keys) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away[k] {
		c.doubted[k] = true
	}
	return c.away[k]
}

// enter registers the consumer with partitions, each with an error of its own. A queue
// that has been forgotten since it was registered is registered again.
func (c *consumer) enter(ctx context.Context, parts []*keys) []error {
	errs := make([]error, len(parts))
	calls := make([]*call, len(parts))
	for i, k := range parts {
		calls[i] = c.entry(k)
	}
	runAll(ctx, c.b, calls)
	for i, k := range parts {
		if errs[i] = calls[i].err; errs[i] != nil || toInt(calls[i].reply) == 1 {
			continue
		}
		if toInt(calls[i].reply) < 0 {
			errs[i] = fmt.Errorf("redis join: %w: the minion still holds tasks of queue %s from before its registration was lost", broker.ErrLeaseLost, k.queue)
			continue
		}
		if _, errs[i] = c.b.queues.register(ctx, k.queue); errs[i] != nil {
			continue
		}
		again := c.entry(k)
		runAll(ctx, c.b, []*call{again})
		if errs[i] = again.err; errs[i] == nil && toInt(again.reply) != 1 {
			errs[i] = fmt.Errorf("redis join: %w: queue %s was forgotten, and has another number of partitions now", broker.ErrUnavailable, k.queue)
		}
	}
	return errs
}

func (c *consumer) entry(k *keys) *call {
	listens := 1
	if c.single {
		listens = 0
	}
	return &call{
		script: scriptJoin,
		keys:   []string{k.minions, k.watch, k.ready, k.held, k.odd, k.claim(c.minion), k.meta, k.outbox, k.flight(c.minion)},
		args:   append([]any{c.minion, c.leaseMillis(), k.wake, listens}, c.b.crew.cutOff(c.id)...),
	}
}

// reenter registers the consumer again with a queue that was away for longer
// than its lease.
func (c *consumer) reenter(ctx context.Context, k *keys) error {
	return c.enter(ctx, []*keys{k})[0]
}
