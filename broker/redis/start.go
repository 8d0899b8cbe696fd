package redis

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// RecordStart implements [broker.Starter].
func (b *Broker) RecordStart(ctx context.Context, d *broker.Delivery) (recoveries, strikes int, err error) {
	counts, err := ask(ctx, func() ([2]int, error) { return b.recordStart(ctx, d) })
	return counts[0], counts[1], err
}

func (b *Broker) recordStart(ctx context.Context, d *broker.Delivery) (counts [2]int, err error) {
	if err := b.alive(ctx); err != nil {
		return counts, err
	}
	q, c := b.queues.known(d.Queue), b.crew.find(d.Minion)
	if q == nil || c == nil {
		return counts, lost(d)
	}
	k := q.of(d.ID)
	reply, err := scriptStart.run(ctx, b, []string{k.flight(c.minion), k.claim(c.minion), k.minions, k.odd, k.excused(d.ID)},
		c.minion, d.ID[:], binary.BigEndian.AppendUint32(nil, d.Attempt))
	if err != nil {
		return counts, err
	}
	if reply == nil {
		return counts, lost(d)
	}
	c.noteStart(d)
	list := toList(reply)
	return [2]int{int(toInt(item(list, 0))), int(toInt(item(list, 1)))}, nil
}

// noteStart remembers that the start of an attempt is recorded, for [consumer.excuse].
func (c *consumer) noteStart(d *broker.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.held.get(d.ID); !ok || h.attempt != d.Attempt { // it was lost meanwhile
		h, ok = c.last.get(d.ID)
		if !ok || h.attempt != d.Attempt {
			return
		}
	}
	if c.recorded == nil {
		c.recorded = make(map[broker.ID]uint32)
	}
	c.recorded[d.ID] = d.Attempt
}

// letGo notes that the consumer holds nothing any more, and remembers what it held.
// c.mu is held.
func (c *consumer) letGo() {
	if c.held.count > 0 {
		c.last = c.held
	}
	c.held = newHeld()
}

// signOff leaves a place. What was taken from this consumer there, as if it had died,
// is excused.
func (c *consumer) signOff(ctx context.Context, k *keys, fence time.Duration) error {
	_, taken, err := c.b.leave(ctx, k, c.minion, "left", fence)
	if err != nil || !taken {
		return err
	}
	return c.excuse(ctx, k)
}

// excused is the key of the attempts at a task that no death has ended; see excuse.lua.
func (k *keys) excused(id broker.ID) string { return k.base + "excused:" + hex.EncodeToString(id[:]) }

const (
	// excusedFor is how long a broker remembers that a minion did not die. The tasks
	// that it held are mostly judged within minutes, by the next minions that have them.
	excusedFor = 24 * time.Hour
	// excuseBatch bounds one run of the excuse script.
	excuseBatch = 500
)

// excuse notes that the consumer's process lives, though its lease has ended, for what
// it held in a place. It can't excuse what it does not remember.
func (c *consumer) excuse(ctx context.Context, k *keys) error {
	var names []string
	args := []any{excusedFor.Milliseconds()}
	add := func(id broker.ID, one holding) {
		if one.keys != k {
			return
		}
		member := binary.BigEndian.AppendUint32(nil, one.attempt)
		if attempt, ok := c.recorded[id]; ok && attempt == one.attempt {
			member = append(member, 1)
		}
		names, args = append(names, k.excused(id)), append(args, member)
	}
	c.mu.Lock()
	c.last.each(add)
	c.mu.Unlock()
	for len(names) > 0 {
		n := min(len(names), excuseBatch)
		if _, err := scriptExcuse.run(ctx, c.b, names[:n], append(args[:1:1], args[1:n+1]...)...); err != nil {
			return fmt.Errorf("excuse tasks: %w", err)
		}
		names, args = names[n:], append(args[:1:1], args[n+1:]...)
	}
	return nil
}

// each calls visit for all that is held.
func (h *held) each(visit func(id broker.ID, one holding)) {
	for id, one := range h.alone {
		visit(id, one)
	}
	for name, b := range h.blocks {
		for bit := range broker.BlockSize {
			if b.held>>bit&1 == 1 {
				id := name
				id[len(id)-1] = byte(bit + 1)
				visit(id, holding{b.attempts[bit], b.apart>>bit&1 == 1, b.keys})
			}
		}
	}
}
