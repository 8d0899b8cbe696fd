package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/engine/halting"
)

// This file has the part of broker.Flows that a driver of groups and pipes uses in the queues
// of the members: it finds arrivals, confirms them, and releases blocked tasks.
//
// An arrival is a record that a member of a group or pipe has ended. The script that ends the
// member writes it to the hash outbox of the member's queue, in the same step as the
// outcome. So an arrival can't be lost, and it stays until the group or pipe has counted
// it and the driver has confirmed it. Its field is 'm' and the member's id. The outbox has two
// more kinds of records: tasks that were submitted with the settlement of another one, until
// they are enqueued (field 's' and id), and unfinished kills of groups and pipes (field 'k'
// and the id of the group or pipe).

// arrivedIn is the set of partitions in which a cancel of this process has made arrivals. A
// driver that asks for the arrivals of no queue in particular is given those.
type arrivedIn struct {
	mu     sync.Mutex
	queues map[*keys]bool
}

func (a *arrivedIn) add(k *keys) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.queues == nil {
		a.queues = make(map[*keys]bool)
	}
	a.queues[k] = true
}

// take removes one of the partitions and returns it; nil if there is none.
func (a *arrivedIn) take() *keys {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.queues {
		delete(a.queues, k)
		return k
	}
	return nil
}

// Arrivals implements [broker.Flows].
func (b *Broker) Arrivals(ctx context.Context, queue string, limit int) ([]broker.Arrival, error) {
	return ask(ctx, func() ([]broker.Arrival, error) { return b.arrivalsNow(ctx, queue, limit) })
}

func (b *Broker) arrivalsNow(ctx context.Context, queue string, limit int) ([]broker.Arrival, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fmt.Errorf("arrivals: %w: a limit of %d, want 1 or more", broker.ErrInvalid, limit)
	}
	limit = min(limit, broker.MaxBatch)
	if queue != "" {
		if err := broker.CheckName("queue", queue); err != nil {
			return nil, err
		}
		q, err := b.queues.find(ctx, queue)
		if err != nil || q == nil {
			return nil, err
		}
		var found []broker.Arrival
		for _, k := range q.parts {
			some, err := b.arrivalsOf(ctx, k, limit-len(found))
			if found = append(found, some...); err != nil || len(found) == limit {
				return found, err
			}
		}
		return found, nil
	}
	// No queue was named: look where cancels of this process have made arrivals.
	for k := b.arrived.take(); k != nil; k = b.arrived.take() {
		found, err := b.arrivalsOf(ctx, k, limit)
		if err != nil || len(found) > 0 {
			b.arrived.add(k) // it stays in the set until it has no arrivals
			return found, err
		}
	}
	return nil, nil
}

// arrivalsAtOnce is how many arrivals one script reads at most, so that it does not keep the
// server busy for long.
const arrivalsAtOnce = 250

// arrivalsOf returns up to limit arrivals of one partition, and fewer if their outcomes are
// large. It scans the outbox page by page, and returns none only if there are none.
func (b *Broker) arrivalsOf(ctx context.Context, k *keys, limit int) ([]broker.Arrival, error) {
	var found []broker.Arrival
	room := broker.MaxBatchBytes
	for cursor := "0"; ; {
		reply, err := scriptArrivals.run(ctx, b, []string{k.outbox}, cursor, limit-len(found), room, halting.Patience().Milliseconds(), arrivalsAtOnce)
		if err != nil {
			return found, err
		}
		list := toList(reply)
		page := toStrings(item(list, 1))
		var strange []any
		var why error
		// A page of a hash may have more fields than were asked for. The rest is found again.
		for i := 0; i+1 < len(page) && len(found) < limit; i += 2 {
			room -= len(page[i]) + len(page[i+1])
			a, err := readArrival(page[i], page[i+1])
			if err != nil { // it is of a newer version, or damaged
				strange, why = append(strange, page[i], page[i+1]), err
				continue
			}
			a.Queue = k.queue
			found = append(found, a)
		}
		if err := b.setAsideArrivals(ctx, k, strange, why); err != nil {
			return found, err
		}
		cursor = toString(item(list, 0))
		if cursor == "0" || len(found) >= limit || len(found) > 0 && room <= 0 {
			return found, nil
		}
		room = max(room, 1) // all that was read so far was put aside
	}
}

// setAsideArrivals moves unreadable arrivals from the outbox to the list of unreadable records, where
// they are not found again and again. Pairs has the field and value of each; why is logged.
func (b *Broker) setAsideArrivals(ctx context.Context, k *keys, pairs []any, why error) error {
	if len(pairs) == 0 {
		return nil
	}
	n, err := scriptSetAsideArrivals.run(ctx, b, []string{k.outbox, k.unreadable}, pairs...)
	if err != nil {
		return err
	}
	if toInt(n) > 0 {
		b.log.Error("redis: arrivals can't be read and were put aside", "queue", k.queue, "arrivals", toInt(n), "error", why)
	}
	return nil
}

// readArrival parses a field and value of an outbox, which arrive.lua, settle.lua or halt.lua
// has written. A member whose outcome is damaged counts as failed, so that its group or pipe
// goes on.
func readArrival(field, value string) (a broker.Arrival, err error) {
	if len(field) != 1+len(a.Task) || field[0] != 'm' && field[0] != 's' && field[0] != 'k' {
		return a, fmt.Errorf("%w: an arrival's name, of %d bytes", broker.ErrMalformed, len(field))
	}
	// The first byte is the kind: m for a member, s for a submitted task, k for a kill.
	if field[0] == 'k' {
		return broker.Arrival{Flow: toID(field[1:]), Kill: true}, nil
	}
	a.Task = toID(field[1:])
	if field[0] == 's' {
		a.Submit, err = wire.ParseSubmit([]byte(value))
		return a, err
	}
	if a.Flow, a.Step, err = wire.ParseFlowRef([]byte(value)); err != nil {
		return a, err
	}
	a.Outcome, err = wire.ParseOutcome([]byte(value[wire.FlowRefSize:]))
	if errors.Is(err, broker.ErrMalformed) || err == nil && !a.Outcome.State.Final() {
		a.Outcome, err = unreadableOutcome("its outcome can't be read", broker.ErrMalformed), nil
	}
	return a, err
}

// Confirm implements [broker.Flows].
func (b *Broker) Confirm(ctx context.Context, arrivals []broker.Arrival) error {
	arrivals = slices.Clone(arrivals)
	return do(ctx, func() error { return b.confirmNow(ctx, arrivals) })
}

// confirmNow deletes the arrivals from the outboxes. A kill also ends the halt of its flow.
func (b *Broker) confirmNow(ctx context.Context, arrivals []broker.Arrival) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	fields := make(map[*keys][]string)
	kills := make(map[*queue][]broker.ID)
	for i := range arrivals {
		a := &arrivals[i]
		if err := broker.CheckName("queue", a.Queue); err != nil {
			return err
		}
		q, err := b.queues.find(ctx, a.Queue)
		if err != nil {
			return err
		}
		if q == nil {
			continue
		}
		if a.Kill {
			kills[q] = append(kills[q], a.Flow)
			continue
		}
		if a.Submit == nil {
			k := q.partition(a.Task)
			fields[k] = append(fields[k], "m"+string(a.Task[:]))
			continue
		}
		// It is in the partition of its submitter, whose id is not known here.
		for _, k := range q.parts {
			fields[k] = append(fields[k], "s"+string(a.Task[:]))
		}
	}
	// Deleting a field that does not exist is no error, so a confirmation may be repeated.
	for k, names := range fields {
		if err := b.rdb.HDel(ctx, k.outbox, names...).Err(); err != nil {
			return b.fault("confirm arrivals", err)
		}
	}
	return b.resume(ctx, kills)
}

// Blocked implements [broker.Flows].
func (b *Broker) Blocked(ctx context.Context, ids []broker.ID) ([]*broker.Task, error) {
	ids = slices.Clone(ids)
	return ask(ctx, func() ([]*broker.Task, error) { return b.blockedNow(ctx, ids) })
}

// blockedNow reads the messages of blocked tasks from the hash later. A task that is there but not
// blocked is left out. Blocked tasks have no large records, so no other key is read.
func (b *Broker) blockedNow(ctx context.Context, ids []broker.ID) ([]*broker.Task, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	out := make([]*broker.Task, len(ids))
	errs := make([]error, len(ids))
	err := b.queues.each(ctx, ids, func(k *keys, positions []int) ([]bool, error) {
		names := make([]string, len(positions))
		for i, p := range positions {
			names[i] = string(ids[p][:])
		}
		msgs, err := b.rdb.HMGet(ctx, k.scheduled, names...).Result()
		if err != nil {
			return nil, b.fault("blocked tasks", err)
		}
		found := make([]bool, len(positions))
		for i, v := range msgs {
			msg, ok := v.(string)
			if !ok {
				continue
			}
			found[i] = true
			var d broker.Delivery
			d.Queue = k.queue
			if err := wire.ParseRecord(&d, []byte(msg), 0); err != nil {
				errs[positions[i]] = fmt.Errorf("task %s: %w", ids[positions[i]], err)
				continue
			}
			if d.Flow.Blocked && !d.Unique.OnConflict.Waits() { // else it waits for its unique key
				out[positions[i]] = &d.Task
			}
		}
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	return out, broker.NewBatchError(errs)
}

// Release implements [broker.Flows].
func (b *Broker) Release(ctx context.Context, tasks []*broker.Task) error {
	tasks = slices.Clone(tasks)
	return do(ctx, func() error { return b.releaseNow(ctx, tasks) })
}

// releaseNow makes blocked tasks pending, with one script for each partition or, if that would be
// too large, several. All scripts are sent in one round trip.
func (b *Broker) releaseNow(ctx context.Context, tasks []*broker.Task) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	errs := make([]error, len(tasks))
	var calls []*call
	var positions [][]int       // of each call in tasks
	open := make(map[*keys]int) // by partition, the index of the call that is still filled
	sizes, costs := make(map[*keys]int), make(map[*keys]int)
	for i, t := range tasks {
		if errs[i] = t.Check(b.cfg.limits); errs[i] != nil {
			continue
		}
		q, err := b.queues.find(ctx, t.Queue)
		if err != nil || q == nil { // a queue that is not registered has no blocked tasks
			errs[i] = err
			continue
		}
		k := q.partition(t.ID)
		n, ok := open[k]
		if !ok || costs[k]+laneCost(t) > broker.MaxBatch || sizes[k]+t.Size() > broker.MaxBatchBytes {
			n = len(calls)
			open[k], sizes[k], costs[k] = n, 0, 0
			keys := append([]string{k.ready, k.checked, k.due, k.scheduled, k.watch, k.holders}, k.lanes...)
			calls = append(calls, &call{script: scriptRelease, keys: keys, args: []any{k.wake}})
			positions = append(positions, nil)
		}
		calls[n].args = append(calls[n].args, t.ID[:], wire.AppendRecord(nil, t))
		positions[n] = append(positions[n], i)
		sizes[k] += t.Size()
		costs[k] += laneCost(t)
	}
	runAll(ctx, b, calls)
	for n, c := range calls {
		for _, i := range positions[n] {
			errs[i] = c.err
		}
	}
	return broker.NewBatchError(errs)
}
