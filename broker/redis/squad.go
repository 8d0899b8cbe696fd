package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

var _ broker.Squads = (*Broker)(nil)

// What is published on a channel for posts begins with one of these.
const (
	postBytes  = 'p' // a post as it is
	postAssign = 'a' // what assign.lua sends: length and name of the queue, time, tasks
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
	err := b.queues.each(ctx, ids, func(k *keys, places []int) ([]bool, error) {
		head := append([]byte{postAssign, byte(len(k.queue))}, k.queue...)
		args := []any{name, channel(b.space.posts, minion), head}
		for _, p := range places {
			args = append(args, ids[p][:])
		}
		reply, err := scriptAssign.run(ctx, b, []string{k.due, k.later, k.flight(name), k.minions, k.halt, k.flows}, args...)
		if err != nil {
			return nil, err
		}
		found := make([]bool, len(places))
		for i, v := range toList(reply) {
			if toInt(v) == 1 {
				found[i], errs[places[i]] = true, nil
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
	if err == nil && toInt(reply) < 0 {
		err = fmt.Errorf("flow %s: %w", flow, broker.ErrNotFound)
	}
	err = ofFlow(flow, err)
	return err == nil && toInt(reply) == 1, err
}

// posted takes what is published to a consumer's channel for posts.
func (c *consumer) posted(payload string) {
	switch {
	case payload == "":
	case payload[0] == postBytes && c.cfg.OnPost != nil:
		c.cfg.OnPost([]byte(payload[1:]))
	case payload[0] == postAssign && c.cfg.OnAssign != nil:
		c.assigned(payload[1:])
	}
}

// assigned takes tasks that assign.lua has handed to us.
func (c *consumer) assigned(text string) {
	if len(text) < 1 || len(text) < 1+int(text[0])+6 {
		return
	}
	n := 1 + int(text[0])
	q := c.queues[text[1:n]]
	if q == nil {
		return
	}
	now := uint48(text[n:])
	var out []*broker.Delivery
	for text = text[n+6:]; len(text) >= 4; {
		size := int(binary.BigEndian.Uint32([]byte(text[:4])))
		if size > len(text)-4 || size < broker.HeadSize {
			break
		}
		msg := text[4 : 4+size]
		text = text[4+size:]
		if isEntry(msg) { // it waited for nobody, so we had it before
			continue
		}
		out, _ = c.deliver(c.b.ctx, q.of(toID(msg[broker.OffsetID:])), []string{msg}, now, out, pushed)
	}
	if len(out) > 0 {
		c.cfg.OnAssign(out)
	}
}
