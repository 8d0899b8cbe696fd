package redis

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A parked task whose time is over is handed to any minion of its queue, which ends it if
// no minion can run it. Where a queue has no minion at all, a round finds such tasks, and
// a minion of another queue is asked how they end. It is not their owner: the script that
// ends them does so only for what still waits as it was read, in a queue that still has
// no minion. So several processes may do it at once, and each may die at any line.

const (
	abandonPage  = 100    // tasks that are due, in one script
	abandonDepth = 10_000 // how many of those a visit passes over that were not parked
)

// burial is how a task ends that nobody takes.
type burial struct {
	id      broker.ID
	attempt uint32 // of the hand-out that does not come
	unique  string
	outcome []byte // with its length in front
}

// lasting is what a task's outcome and dead letter are kept for.
type lasting struct {
	class       string
	read, sweep time.Duration
}

// abandon ends what is parked in a queue without a minion and nobody has taken in time.
func (b *Broker) abandon(ctx context.Context, k *keys) error {
	for passed := 0; passed < abandonDepth; {
		ask := b.asked()
		if ask == nil {
			return nil // a process that has a minion will get a turn
		}
		reply, err := scriptAbandoned.run(ctx, b, []string{k.minions, k.due, k.later, k.parked},
			b.cfg.abandoned.Milliseconds(), passed, abandonPage, readBytes)
		if err != nil {
			return err
		}
		list := toList(reply)
		looked := int(toInt(item(list, 1)))
		if looked == 0 { // or there is a minion
			return nil
		}
		ends, err := b.judge(ctx, k, texts(list[2:]), toInt(list[0]), ask)
		if err != nil {
			return err
		}
		done := 0
		for of, group := range ends {
			n, err := b.endAbandoned(ctx, k, of, group)
			if err != nil {
				return err
			}
			done += n
		}
		if done > 0 {
			b.log.Warn("redis: parked tasks ended: no minion has come to their queue in time", "queue", k.queue, "tasks", done)
		}
		passed += looked - done
	}
	return nil
}

// asked returns the callback of a minion of this process; nil if there is none.
func (b *Broker) asked() func(*broker.Delivery) broker.Outcome {
	b.keeper.mu.Lock()
	defer b.keeper.mu.Unlock()
	for c := range b.keeper.listeners {
		if c.cfg.OnAbandoned != nil {
			return c.cfg.OnAbandoned
		}
	}
	return nil
}

// judge asks how tasks end, and returns that by how long it is kept.
func (b *Broker) judge(ctx context.Context, k *keys, msgs []string, now int64, ask func(*broker.Delivery) broker.Outcome) (map[lasting][]burial, error) {
	records, err := b.records(ctx, k, msgs)
	if err != nil {
		return nil, err
	}
	ends := make(map[lasting][]burial)
	for i, msg := range msgs {
		d := &broker.Delivery{Task: broker.Task{Queue: k.queue}}
		if err := b.parse(d, msg, recordAt(records, i), now); err != nil {
			if d.ID.IsZero() {
				continue
			}
			d.Err = err
		}
		d.Queue, d.Overdue = k.queue, true
		if d.Left <= 0 { // it expires instead
			continue
		}
		s := broker.Settlement{Delivery: d, Verb: broker.VerbFinish, Unstarted: true, Outcome: ask(d)}
		if s.Outcome.State != broker.StateFailed || s.Check(b.cfg.limits) != nil {
			continue
		}
		class, read, sweep := retention(b.cfg.atLeast, d.Retention, d.DeadFor, d.DeadFor > 0)
		of := lasting{class, read, sweep}
		ends[of] = append(ends[of], burial{id: d.ID, attempt: d.Attempt, unique: d.Unique, outcome: appendFrame(nil, &s.Outcome)})
	}
	return ends, nil
}

// endAbandoned runs the script, and returns how many tasks it has ended.
func (b *Broker) endAbandoned(ctx context.Context, k *keys, of lasting, tasks []burial) (int, error) {
	names := []string{
		k.minions, k.due, k.later, k.parked, k.needs, k.state, k.dead, k.unique, k.keep, k.forget(of.class),
		k.about, k.deadlines, k.flows, k.outbox,
	}
	args := []any{b.cfg.abandoned.Milliseconds(), of.class, of.read.Milliseconds(), of.sweep.Milliseconds(), b.space.inboxes}
	for i := range tasks {
		t := &tasks[i]
		names = append(names, k.record(t.id))
		args = append(args, t.id[:], binary.BigEndian.AppendUint32(nil, t.attempt), t.outcome, t.unique)
	}
	reply, err := scriptAbandon.run(ctx, b, names, args...)
	if err != nil {
		return 0, err
	}
	list := toList(reply)
	if toInt(item(list, 1)) > 0 { // if this is lost, the next visit tells of them
		b.expiry.tell(k)
	}
	return int(toInt(item(list, 0))), nil
}
