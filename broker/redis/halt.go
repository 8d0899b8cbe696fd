package redis

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// This file halts flows (groups and pipes) that are being killed.
//
// To kill a large flow takes many scripts, and until the last one has run minions would go on
// starting its members. So the killer first halts the flow, which takes one short script for
// each queue: the id of the flow goes into the hash halt of the queue, and all waiting
// messages go to the list held by a rename, however many they are. The dequeue script looks
// at each message of that list and does not hand out members of halted flows. Then the killer
// cancels the members, and resume removes the mark.
//
// A halt also leaves a record of the kill in the outbox of the queue. If the killer dies, a driver
// that looks for arrivals finds the record, kills the flow, and ends the halt.

var _ broker.Halter = (*Broker)(nil)

const (
	// haltedFor is when the hash halt of a queue expires, unless a flow is halted meanwhile.
	// It is only a safety net: a driver finds an unfinished kill much sooner.
	haltedFor = 24 * time.Hour

	// haltPage is how many ids of members one script reads.
	haltPage = 10_000
)

// Halt implements [broker.Halter].
func (b *Broker) Halt(ctx context.Context, flows []broker.ID) (*broker.Halted, error) {
	flows = slices.Clone(flows)
	return ask(ctx, func() (*broker.Halted, error) { return b.haltNow(ctx, flows) })
}

// haltNow halts flows in all queues that may have tasks of theirs, and then finds out which of these
// tasks run. The list of queues is read first if it may be out of date.
func (b *Broker) haltNow(ctx context.Context, flows []broker.ID) (*broker.Halted, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if len(flows) > broker.MaxBatch {
		return nil, fmt.Errorf("halt: %w: %d flows, the limit is %d", broker.ErrTooLarge, len(flows), broker.MaxBatch)
	}
	if stale, err := b.queues.stale(ctx); err != nil {
		return nil, err
	} else if stale {
		if _, err := b.queues.all(ctx); err != nil {
			return nil, err
		}
	}
	out := new(broker.Halted)
	targets, err := b.flowTargets(ctx, flows, out)
	if err != nil {
		return nil, err
	}
	where, err := b.haltIn(ctx, targets, out)
	if err != nil {
		return nil, err
	}
	out.Running, err = b.haltRunning(ctx, where, targets)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// flowTargets returns the partitions that may have tasks of the given flows, each with those
// flows. A task is a member or the callback. Members and callbacks that are flows themselves
// are added to out.Inner.
func (b *Broker) flowTargets(ctx context.Context, flows []broker.ID, out *broker.Halted) (map[*keys][]broker.ID, error) {
	targets := make(map[*keys][]broker.ID)
	add := func(flow, task broker.ID) {
		for _, k := range b.queues.mayHave(task) {
			if !slices.Contains(targets[k], flow) {
				targets[k] = append(targets[k], flow)
			}
		}
	}
	// Each round reads a page of the members of every flow that has more.
	for from := 0; len(flows) > 0; from += haltPage {
		calls := make([]*call, len(flows))
		for i, id := range flows {
			k := newFlowKeys(b.cfg.namespace, id)
			calls[i] = &call{script: scriptFlowQueues, keys: []string{k.flow, k.members}, args: []any{from, haltPage}}
		}
		runAll(ctx, b, calls)
		var more []broker.ID
		for i, c := range calls {
			if c.err != nil && !isWrongType(c.err) { // nobody can find the members of a flow whose key has the wrong type
				return nil, c.err
			}
			list := toList(c.reply)
			for ids := toString(item(list, 2)); len(ids) >= 16; ids = ids[16:] {
				add(flows[i], toID(ids[:16]))
			}
			for ids := toString(item(list, 3)); len(ids) >= 16; ids = ids[16:] {
				out.Inner = append(out.Inner, toID(ids[:16]))
			}
			f, err := wire.ParseFlow([]byte(toString(item(list, 1))))
			switch {
			case from > 0 || err != nil || f.Callback.IsZero():
			case f.Callback.Kind() == broker.KindTask:
				add(flows[i], f.Callback)
			default:
				out.Inner = append(out.Inner, f.Callback)
			}
			if toInt(item(list, 0)) == 1 {
				more = append(more, flows[i])
			}
		}
		flows = more
	}
	return targets, nil
}

// haltIn halts flows in partitions, and returns the partitions in which it has done so. It adds a
// kill to out.Kills for each flow and queue.
func (b *Broker) haltIn(ctx context.Context, targets map[*keys][]broker.ID, out *broker.Halted) ([]*keys, error) {
	var all, where []*keys
	var calls []*call
	for k, flows := range targets {
		c := &call{script: scriptHalt, keys: []string{k.halt, k.checked, k.ready, k.outbox, k.watch},
			args: []any{k.wake, haltedFor.Milliseconds()}}
		for _, id := range flows {
			c.args = append(c.args, id[:])
		}
		all, calls = append(all, k), append(calls, c)
	}
	runAll(ctx, b, calls)
	// A queue with several partitions counts as one kill.
	type kill struct {
		queue string
		flow  broker.ID
	}
	seen := make(map[kill]bool)
	for i, c := range calls {
		k := all[i]
		if isWrongType(c.err) { // it must not keep the flows from being halted elsewhere
			if b.wrongTypes.due(k) {
				b.log.Error("redis: members of a group or pipe that is being killed may start until they are cancelled, because a key of the queue has the wrong type; delete or rename the key",
					"queue", k.queue, "keys", b.wrongKeys(ctx, k, ""), "error", c.err)
			}
			continue
		}
		if c.err != nil {
			return nil, c.err
		}
		where = append(where, k)
		for _, id := range targets[k] {
			if one := (kill{k.queue, id}); !seen[one] {
				seen[one] = true
				out.Kills = append(out.Kills, broker.Arrival{Queue: k.queue, Flow: id, Kill: true})
			}
		}
	}
	return where, nil
}

// haltRunning returns the members of the given flows that minions hold.
func (b *Broker) haltRunning(ctx context.Context, where []*keys, flows map[*keys][]broker.ID) ([]broker.ID, error) {
	var calls []*call
	for _, k := range where {
		args := make([]any, len(flows[k]))
		for i := range args {
			args[i] = flows[k][i][:]
		}
		// One script for each minion keeps the scripts short.
		minions, err := b.rdb.ZRange(ctx, k.minions, 0, -1).Result()
		if err != nil {
			return nil, b.fault("list minions", err)
		}
		for _, m := range minions {
			calls = append(calls, &call{script: scriptHaltRunning, keys: []string{k.flows, k.flight(m), k.claim(m)}, args: args})
		}
	}
	runAll(ctx, b, calls)
	var running []broker.ID
	for _, c := range calls {
		if c.err != nil && !isWrongType(c.err) {
			return nil, c.err
		}
		for _, id := range toStrings(c.reply) {
			running = append(running, toID(id))
		}
	}
	return running, nil
}

// resume ends the halt of flows, so that tasks of theirs that are left can be handed out.
func (b *Broker) resume(ctx context.Context, flows map[*queue][]broker.ID) error {
	var calls []*call
	for q, ids := range flows {
		for part := range slices.Chunk(ids, broker.MaxBatch) {
			args := make([]any, 1, 1+len(part))
			for i := range part {
				args = append(args, part[i][:])
			}
			for _, k := range q.parts {
				own := slices.Clone(args)
				own[0] = k.wake
				calls = append(calls, &call{script: scriptResume, keys: []string{k.halt, k.checked, k.canceled, k.ready, k.outbox, k.watch, k.lanes[lanesLined], k.paused, k.back}, args: own})
			}
		}
	}
	runAll(ctx, b, calls)
	for _, c := range calls {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}
