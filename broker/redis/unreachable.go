package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
)

// This file keeps a consumer of several queues going while some of them are unreachable.
//
// In a cluster one master can be down while the others serve. The consumer marks the
// queues of that master as unreachable, leaves them out, and goes on with the others. Every
// heartbeat tries the unreachable ones again. There is an exception: a consumer that holds
// tasks of an unreachable queue can neither extend their lease nor settle them, so its
// heartbeat fails as a whole. A queue with a key of the wrong type is treated like an
// unreachable one.

// tolerate handles the error of a request about one partition. It marks the partition as
// unreachable and returns nil if the consumer can go on with its others; else it returns
// err.
func (c *consumer) tolerate(k *keys, err error) error {
	if isWrongType(err) {
		c.logWrongType(c.b.ctx, k, err)
	}
	if c.single || !errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrDamaged) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if isWrongType(err) {
		// Tasks that are held there are no reason to stop the others: no script can hand
		// them to another minion either.
		c.unreachable[k] = true
		if len(c.unreachable) == len(c.order) {
			return err
		}
		return nil
	}
	if c.held.in(k) {
		return err
	}
	if !c.unreachable[k] {
		c.unreachable[k] = true
		c.b.log.Warn("redis: can't reach the server of a queue; the other queues are served", "queue", k.queue, "error", err)
	}
	if len(c.unreachable) == len(c.order) {
		return err
	}
	return nil
}

// isUnreachable reports whether a partition is marked as unreachable and must not be asked.
func (c *consumer) isUnreachable(k *keys) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unreachable[k]
}

// reached notes that a partition was reached. If it was unreachable before, there may be
// tasks for the consumer: ready ones, parked ones, or some that a lost reply had.
func (c *consumer) reached(k *keys) {
	c.mu.Lock()
	if c.unreachable[k] {
		delete(c.unreachable, k)
		c.ready[k] = true
		c.maybeParked(k)
		c.suspect = c.suspect || c.doubted[k]
		delete(c.doubted, k)
	}
	c.mu.Unlock()
}

// doubt notes that an unreachable partition may have handed out tasks in a reply that was
// lost. They are asked for when the partition is reachable. It returns false, and notes
// nothing, if it is reachable already.
func (c *consumer) doubt(k *keys) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unreachable[k] {
		c.doubted[k] = true
	}
	return c.unreachable[k]
}

// registerWith registers the consumer with partitions, and returns an error for each. A queue that
// was removed from the registry since then is put into it again.
func (c *consumer) registerWith(ctx context.Context, parts []*keys) []error {
	errs := make([]error, len(parts))
	calls := make([]*call, len(parts))
	for i, k := range parts {
		calls[i] = c.registration(k)
	}
	runAll(ctx, c.b, calls)
	for i, k := range parts {
		if errs[i] = calls[i].err; errs[i] != nil || toInt(calls[i].reply) == 1 {
			continue
		}
		if toInt(calls[i].reply) < 0 {
			errs[i] = fmt.Errorf("redis: register minion with queue %s: %w: it still holds tasks from before it lost its registration", k.queue, broker.ErrLeaseLost)
			continue
		}
		if _, errs[i] = c.b.queues.register(ctx, k.queue); errs[i] != nil {
			continue
		}
		again := c.registration(k)
		runAll(ctx, c.b, []*call{again})
		if errs[i] = again.err; errs[i] == nil && toInt(again.reply) != 1 {
			errs[i] = fmt.Errorf("redis: register minion with queue %s: %w: the queue was removed, and registered again with another number of partitions", k.queue, broker.ErrUnavailable)
		}
	}
	return errs
}

// registration returns the call that registers the consumer with a partition. It names consumers of
// this process whose heartbeats failed: join.lua spares them, since they live.
func (c *consumer) registration(k *keys) *call {
	listens := 1
	if c.single {
		listens = 0
	}
	return &call{
		script: scriptJoin,
		keys:   []string{k.minions, k.watch, k.ready, k.checked, k.unreadable, k.claim(c.minion), k.meta, k.outbox, k.flight(c.minion)},
		args:   append([]any{c.minion, c.leaseMillis(), k.wake, listens}, c.b.consumers.cutOff(c.id)...),
	}
}

// registerAgain registers the consumer again with a partition that was unreachable for longer than
// the lease.
func (c *consumer) registerAgain(ctx context.Context, k *keys) error {
	return c.registerWith(ctx, []*keys{k})[0]
}
