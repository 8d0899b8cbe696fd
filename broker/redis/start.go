package redis

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A task that crashes its minion must not be handed out for ever. So a minion records the
// start of an attempt that follows a death: start.lua sets a flag in the message, and if the
// minion's lease ends while it has the message, leave.lua counts a strike, and a recovery in
// any case. RecordStart returns both counts, and the minion decides whether the task may
// start again.
//
// A lease can also end though its minion lives, when the server was out of reach. A
// consumer whose process lives notices that when it signs off after the loss: its tasks
// were taken from it as if it had died. It then stores an excuse for each attempt that it held
// (see excuse.lua), and start.lua subtracts the excused attempts from the counts. For that the
// consumer remembers the attempts that it held, and which starts it had recorded.

// RecordStart implements [broker.Starter].
func (b *Broker) RecordStart(ctx context.Context, d *broker.Delivery) (recoveries, strikes int, err error) {
	counts, err := ask(ctx, func() ([2]int, error) { return b.recordStart(ctx, d) })
	return counts[0], counts[1], err
}

func (b *Broker) recordStart(ctx context.Context, d *broker.Delivery) (counts [2]int, err error) {
	if err := b.alive(ctx); err != nil {
		return counts, err
	}
	q, c := b.queues.known(d.Queue), b.consumers.find(d.Minion)
	if q == nil || c == nil {
		return counts, lost(d)
	}
	k := q.partition(d.ID)
	reply, err := scriptStart.run(ctx, b, []string{k.flight(c.minion), k.claim(c.minion), k.minions, k.unreadable, k.excused(d.ID)},
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

// noteStart remembers that the start of an attempt was recorded, for [consumer.excuse].
func (c *consumer) noteStart(d *broker.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, ok := c.held.get(d.ID); !ok || h.attempt != d.Attempt { // the lease ended meanwhile
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

// letGo notes that the consumer holds nothing any more, and remembers the attempts. The
// caller holds c.mu.
func (c *consumer) letGo() {
	if c.held.count > 0 {
		c.last = c.held
	}
	c.held = newHeld()
}

// signOff ends the registration in a partition. If the consumer had been taken for dead
// there, it excuses the attempts that it held.
func (c *consumer) signOff(ctx context.Context, k *keys, fence time.Duration) error {
	_, taken, err := c.b.leave(ctx, k, c.minion, "left", fence)
	if err != nil || !taken {
		return err
	}
	return c.excuse(ctx, k)
}

// excused is the key of a set: the attempts at a task that were counted as ended by a death,
// though their minion lived; see excuse.lua.
func (k *keys) excused(id broker.ID) string { return k.base + "excused:" + hex.EncodeToString(id[:]) }

const (
	// excusedFor is how long an excuse is stored. It is needed until the next minion starts
	// the task, which mostly takes minutes.
	excusedFor = 24 * time.Hour
	// excuseBatch is how many tasks one run of the script excuses.
	excuseBatch = 500
)

// excuse stores that the consumer's process lives, though its lease has ended, for each
// attempt that it remembers to have held in a partition.
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

// each calls visit for each task that is held.
func (h *held) each(visit func(id broker.ID, one holding)) {
	for id, one := range h.alone {
		visit(id, one)
	}
	for name, b := range h.blocks {
		for bit := range broker.BlockSize {
			if b.held>>bit&1 == 1 {
				visit(name.AtPosition(uint8(bit+1)), holding{b.attempts[bit], b.large>>bit&1 == 1, b.keys})
			}
		}
	}
}
