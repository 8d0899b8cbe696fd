package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// This file has what concerns unique keys: it stores tasks that have one, frees keys at the start
// of a task, and looks them up and frees them for operators.
//
// A partition has two hashes for keys: unique, from the key to its holder, and holders, from the
// id of a task to its key. With the second one each script that ends a task frees its key, or
// passes it on, in the same step; free_keys.lua has the formats. A key that is held for a time
// also has a string key of its own, its window, which the server removes when that time is over.
//
// enqueue_unique.lua decides about tasks in their order. If it needs to know whether a minion
// has the holder of a key, it must be told all minions of the queue, like cancel.lua. It is
// told none at first, since most tasks need none: nobody has their key, or the holder waits
// for its time.

var _ broker.Uniques = (*Broker)(nil)

// window is the key that holds a unique key for a time.
func (k *keys) window(unique string) string { return k.base + "window:" + unique }

// keyedAtOnce is how many tasks with a unique key one script stores at most. Each takes up to
// 40 µs on a slow machine, and other clients wait meanwhile.
const keyedAtOnce = 250

// keyedBatch is the tasks of a batch that have a unique key and go to one partition.
type keyedBatch struct {
	keys      *keys
	positions []int // in the batch
}

// keyTail returns what the hash unique has of the holder of a key behind the times: whether its
// start frees the key, and the name of the task, which is left out if it is the scope.
func keyTail(t *broker.Task) string {
	start, name := "\x00", t.Name
	if t.Unique.UntilStart {
		start = "\x01"
	}
	if scope, _ := broker.SplitKey(t.Unique.Key); scope == name {
		name = ""
	}
	return start + name
}

// duplicate returns the error for a task whose unique key another one has. Name is the name in the
// store, which is empty if it is the scope of the key.
func duplicate(id, holder broker.ID, key, name string) error {
	if name == "" {
		name, _ = broker.SplitKey(key)
	}
	return &broker.DuplicateError{ID: id, Holder: holder, Key: key, Name: name}
}

// sendKeyed stores the tasks of a batch that have a unique key and go to one partition, in their
// order: each script is sent when the one before it has answered.
func (b *Broker) sendKeyed(ctx context.Context, kb *keyedBatch, tasks []*broker.Task, failed *failures) {
	var minions []string // the minions of the queue that the script has asked for
	refuseAll := func(rest []int, err error) {
		for _, position := range rest {
			failed.set(position, err)
		}
	}
	for tries, rest := 0, kb.positions; len(rest) > 0; {
		p := &part{destination: destination{keys: kb.keys}, cfg: &b.cfg}
		for _, position := range rest[:min(len(rest), ownedAtOnce(len(minions), keyedAtOnce))] {
			size := tasks[position].Size()
			if p.count() > 0 && p.size+size > broker.MaxBatchBytes {
				break
			}
			p.size += size
			p.addKeyed(position, tasks[position])
		}
		c := b.keyedCall(p, minions)
		reply, err := c.script.run(ctx, b, c.keys, c.args...)
		list := toList(reply)
		switch {
		case err != nil:
			refuseAll(p.last, err)
		case reply == nil: // the queue is not registered
			q, err := b.queues.register(ctx, p.keys.queue)
			if tries++; err == nil && tries > 2 {
				err = broker.ErrUnavailable // the registration is lost again and again: somebody empties the server
			}
			if err != nil {
				refuseAll(rest, err)
				return
			}
			if !slices.Contains(q.parts, p.keys) { // it has another number of partitions now
				b.sendElsewhere(ctx, rest, tasks, failed)
				return
			}
			continue
		case item(list, 0) == nil: // there are minions that the script was not told
			minions = toStrings(item(list, 1))
			if tries++; tries < minionRetries {
				continue
			}
			refuseAll(p.last, fmt.Errorf("redis enqueue: %w: the minions of queue %s have changed with every try, %d times",
				broker.ErrUnavailable, p.keys.queue, minionRetries))
		default:
			p.answerKeyed(tasks, failed, toList(item(list, 0)))
			if toInt(item(list, 1)) > 0 { // replaced members of flows; if the process dies here, a heartbeat or a visit tells of their arrivals
				b.expiry.tell(p.keys)
			}
		}
		if p.limit > 0 { // even after an error, since the tasks may have been stored
			b.expiry.expect(p.keys, p.limit)
		}
		tries, rest = 0, rest[p.count():]
	}
}

// addKeyed adds a task that has a unique key. Such a task is never stored under a key of its own.
func (p *part) addKeyed(position int, t *broker.Task) {
	msg := wire.AppendRecord(nil, t)
	var ref, outcome []byte
	if !t.Flow.ID.IsZero() {
		ref = wire.AppendFlowRef(nil, t)
	}
	u := &t.Unique
	if u.OnConflict != broker.ConflictRefuse {
		outcome = appendFrame(nil, &broker.Outcome{State: broker.StateCanceled, Finished: time.Now(), ReplacedBy: t.ID})
	}
	p.other = append(p.other, msg, millis(t.Delay), t.DeadlineMillis(), ref, flag(t.Flow.Blocked), u.Key, keyTail(t), outcome,
		wire.RuleMillis(u.For), int(u.OnConflict), wire.RuleMillis(u.MaxAge), flag(t.Bounded))
	p.last = append(p.last, position)
	p.expires(t)
	p.note(t, msg, false, false)
}

// keyedCall returns the run of the script that stores a part of tasks with unique keys.
func (b *Broker) keyedCall(p *part, minions []string) *call {
	k := p.keys
	class, read, sweep := retention(b.cfg.atLeast, broker.DefaultRetention, 0, false)
	c := &call{script: scriptUnique}
	c.keys = []string{
		k.ready, k.checked, k.state, k.due, k.scheduled, k.unique, k.meta, k.watch, k.flows, k.deadlines, k.holders,
		k.canceled, k.stop, k.minions, k.retention, k.ended(class), k.outbox, k.parked, k.needs,
	}
	c.keys = append(append(c.keys, k.lanes...), k.aside, k.back, k.halt, k.paused)
	c.args = []any{k.wake, b.space.inboxes, b.space.channels, class, read.Milliseconds(), sweep.Milliseconds(), len(minions)}
	for _, m := range minions {
		c.keys = append(c.keys, k.flight(m), k.claim(m))
		c.args = append(c.args, m)
	}
	for i := 5; i < len(p.other); i += 12 {
		c.keys = append(c.keys, k.window(p.other[i].(string)))
	}
	c.keys = append(c.keys, k.about)
	c.args = append(c.args, p.other...)
	if len(p.notes) > 0 {
		c.args = append(c.args, p.metadata())
	}
	return c
}

// answerKeyed sets the errors of the tasks that the script has refused: three values for each.
func (p *part) answerKeyed(tasks []*broker.Task, failed *failures, refused []any) {
	for j := 0; j+2 < len(refused); j += 3 {
		position := p.last[toInt(refused[j])-1]
		t := tasks[position]
		switch known, name := toString(refused[j+1]), toString(refused[j+2]); {
		case readFull(t.Queue, known) != nil:
			failed.set(position, readFull(t.Queue, known))
		case len(known) != len(broker.ID{}):
			failed.set(position, takenUnreadable(t.ID, known))
		case toID(known) == t.ID:
			failed.set(position, &broker.DuplicateError{ID: t.ID, Holder: t.ID})
		default:
			failed.set(position, duplicate(t.ID, toID(known), t.Unique.Key, name))
		}
	}
}

// takenUnreadable returns the error for a task whose id another one has, whose state can't be read.
func takenUnreadable(id broker.ID, state string) error {
	return fmt.Errorf("task %s: its id is taken, and the state of the task that has it can't be read: %w", id, unreadableState(state))
}

// StartKey implements [broker.Uniques].
func (b *Broker) StartKey(ctx context.Context, d *broker.Delivery) error {
	return do(ctx, func() error { return b.startKey(ctx, d) })
}

func (b *Broker) startKey(ctx context.Context, d *broker.Delivery) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	q, c := b.queues.known(d.Queue), b.consumers.find(d.Minion)
	if q == nil || c == nil {
		return lost(d)
	}
	if !d.Unique.UntilStart {
		return nil
	}
	k := q.partition(d.ID)
	names := []string{
		k.flight(c.minion), k.claim(c.minion), k.minions, k.unreadable, k.stop, k.unique, k.holders, k.scheduled, k.due,
		k.ready, k.checked, k.watch,
	}
	reply, err := scriptStartKey.run(ctx, b, append(names, k.lanes...), c.minion, d.ID[:], binary.BigEndian.AppendUint32(nil, d.Attempt), k.wake)
	switch {
	case err != nil:
		return err
	case toInt(reply) == 0:
		return lost(d)
	case toInt(reply) == 2:
		return fmt.Errorf("task %s %s: %w", d.Name, d.ID, broker.ErrCanceled)
	}
	return nil
}

// LookupKeys implements [broker.Uniques].
func (b *Broker) LookupKeys(ctx context.Context, queue string, keys []string) ([]broker.KeyStatus, error) {
	return b.uniqueKeys(ctx, queue, keys, 0)
}

// FreeKeys implements [broker.Uniques].
func (b *Broker) FreeKeys(ctx context.Context, queue string, keys []string) ([]broker.KeyStatus, error) {
	return b.uniqueKeys(ctx, queue, keys, 1)
}

func (b *Broker) uniqueKeys(ctx context.Context, queue string, keys []string, free int) ([]broker.KeyStatus, error) {
	out := make([]broker.KeyStatus, len(keys))
	for i, key := range keys {
		out[i].Key = strings.Clone(key) // read again when the request has ended
	}
	return ask(ctx, func() ([]broker.KeyStatus, error) { return b.uniqueKeysNow(ctx, queue, out, free) })
}

func (b *Broker) uniqueKeysNow(ctx context.Context, queue string, out []broker.KeyStatus, free int) ([]broker.KeyStatus, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if err := broker.CheckName("queue", queue); err != nil {
		return nil, err
	}
	q, err := b.queues.find(ctx, queue)
	if q == nil || err != nil {
		return out, err
	}
	parts := make(map[*keys][]int)
	for i := range out {
		k, lane := q.parts[int(broker.KeyPartition(out[i].Key))%len(q.parts)], q.parts[broker.LanePartition]
		parts[k] = append(parts[k], i)
		if lane != k { // where the holder is if it has a lane
			parts[lane] = append(parts[lane], i)
		}
	}
	for k, positions := range parts {
		for some := range slices.Chunk(positions, keyedAtOnce) {
			names := append([]string{k.unique, k.holders, k.state, k.scheduled, k.due, k.ready, k.checked, k.watch}, k.lanes...)
			args := []any{k.wake, free}
			for _, i := range some {
				names, args = append(names, k.window(out[i].Key)), append(args, out[i].Key)
			}
			reply, err := scriptUniqueKeys.run(ctx, b, names, args...)
			if err != nil {
				return nil, err
			}
			list := toList(reply)
			if len(list) != 4*len(some) {
				return nil, fmt.Errorf("redis unique keys: %w: %d values for %d keys", broker.ErrMalformed, len(list), len(some))
			}
			for j, i := range some {
				if toString(list[4*j]) == "" { // nobody has it, in this partition
					continue
				}
				out[i].Holder, out[i].Next = toID(list[4*j]), toID(list[4*j+1])
				out[i].Since, out[i].Until = toTime(toInt(list[4*j+2])), toTime(toInt(list[4*j+3]))
			}
		}
	}
	return out, nil
}
