package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// Members of a squad are stored as blocked tasks, and an arbiter assigns them to minions
// that have reserved slots for them. This file implements the broker's part of that.
//
// Post publishes a message on the channel of a minion or an inbox. Assign moves blocked
// tasks to the flight hash of a minion with assign.lua, as if the minion had dequeued them,
// and the script publishes their messages on the minion's channel in the same step. A
// message that is lost is found by a heartbeat, as after a lost reply of a dequeue. Decide
// stores, once and for all, whether a squad starts.

var _ broker.Squads = (*Broker)(nil)

// A message on a channel for posts begins with one of these.
const (
	postBytes  = 'p' // then the payload of Post
	postAssign = 'a' // then, from assign.lua: length and name of the queue, server's time (6), tasks with their lengths (4)
)

// Post implements [broker.Squads].
func (b *Broker) Post(ctx context.Context, to broker.ID, payload []byte) error {
	payload = slices.Clone(payload)
	return do(ctx, func() error { return b.postNow(ctx, to, payload) })
}

func (b *Broker) postNow(ctx context.Context, to broker.ID, payload []byte) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	if err := broker.CheckPost(payload); err != nil {
		return err
	}
	text := append([]byte{postBytes}, payload...)
	return b.fault("post", b.rdb.Publish(ctx, channel(b.space.posts, to), text).Err())
}

// Assign implements [broker.Squads].
func (b *Broker) Assign(ctx context.Context, minion broker.ID, ids []broker.ID) error {
	ids = slices.Clone(ids)
	return do(ctx, func() error { return b.assignNow(ctx, minion, ids) })
}

// assignNow runs the script once for each partition that the ids may be in. An id that no
// partition assigns keeps ErrNotFound.
func (b *Broker) assignNow(ctx context.Context, minion broker.ID, ids []broker.ID) error {
	if err := b.alive(ctx); err != nil {
		return err
	}
	if len(ids) > broker.MaxBatch {
		return fmt.Errorf("assign: %w: %d tasks, the limit is %d", broker.ErrTooLarge, len(ids), broker.MaxBatch)
	}
	errs := make([]error, len(ids))
	for i, id := range ids {
		errs[i] = fmt.Errorf("task %s: assign it to minion %s: %w", id, minion, broker.ErrNotFound)
	}
	name := string(minion[:])
	err := b.queues.each(ctx, ids, func(k *keys, positions []int) ([]bool, error) {
		head := append([]byte{postAssign, byte(len(k.queue))}, k.queue...)
		args := []any{name, channel(b.space.posts, minion), head}
		for _, p := range positions {
			args = append(args, ids[p][:])
		}
		reply, err := scriptAssign.run(ctx, b, []string{k.due, k.scheduled, k.flight(name), k.minions, k.halt, k.flows, k.holders, k.paused, k.ready}, args...)
		if err != nil {
			return nil, err
		}
		found := make([]bool, len(positions))
		for i, v := range toList(reply) { // none if the minion is not registered there
			switch p := positions[i]; toInt(v) {
			case 1:
				found[i], errs[p] = true, nil
			case 2:
				found[i], errs[p] = true, fmt.Errorf("task %s: assign it to minion %s: queue %s: %w", ids[p], minion, k.queue, broker.ErrPaused)
			}
		}
		return found, nil
	})
	if err != nil {
		return err
	}
	return broker.NewBatchError(errs)
}

// Decide implements [broker.Squads].
func (b *Broker) Decide(ctx context.Context, flow broker.ID, start bool) (started bool, err error) {
	return ask(ctx, func() (bool, error) { return b.decideNow(ctx, flow, start) })
}

// decideNow stores the caller's wish unless there is a decision, and returns the decision.
func (b *Broker) decideNow(ctx context.Context, flow broker.ID, start bool) (started bool, err error) {
	if err := b.alive(ctx); err != nil {
		return false, err
	}
	wish := 0
	if start {
		wish = 1
	}
	reply, err := scriptFlowDecide.run(ctx, b, []string{newFlowKeys(b.cfg.namespace, flow).flow},
		wish, int(broker.MarkStarted), int(broker.MarkDropped))
	if err == nil && toInt(reply) < 0 { // there is no such flow
		err = fmt.Errorf("flow %s: %w", flow, broker.ErrNotFound)
	}
	err = ofFlow(flow, err)
	return err == nil && toInt(reply) == 1, err
}

// posted is called with each message of the consumer's channel for posts.
func (c *consumer) posted(payload string) {
	switch {
	case payload == "":
	case payload[0] == postBytes && c.cfg.Squads.OnPost != nil:
		c.cfg.Squads.OnPost([]byte(payload[1:]))
	case payload[0] == postAssign && c.cfg.Squads.OnAssign != nil:
		c.assigned(payload[1:])
	case payload[0] == postAssign:
		c.distrust() // the next Dequeue asks for the tasks
	}
}

// assigned passes tasks that assign.lua has handed to this consumer to OnAssign. A truncated
// message is dropped; its tasks are found like those of a lost one.
func (c *consumer) assigned(text string) {
	if len(text) < 1 || len(text) < 1+int(text[0])+6 {
		return
	}
	n := 1 + int(text[0])
	q := c.queues[text[1:n]]
	if q == nil { // a queue that this consumer does not serve
		return
	}
	now := uint48(text[n:])
	var out []*broker.Delivery
	for text = text[n+6:]; len(text) >= 4; {
		size := int(binary.BigEndian.Uint32([]byte(text[:4])))
		if size > len(text)-4 || size < wire.HeadSize {
			break
		}
		msg := text[4 : 4+size]
		text = text[4+size:]
		if isStub(msg) { // large records of blocked tasks stay whole, so this one came in another way before
			continue
		}
		out, _ = c.deliver(c.b.ctx, q.partition(toID(msg[wire.OffsetID:])), []string{msg}, now, out, pushed)
	}
	if len(out) > 0 {
		c.cfg.Squads.OnAssign(out)
	}
}
