package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// A minion parks a task that it can't run, so that another minion can take it at once and
// the first one is not handed it again. This file is the consumer's side of that.
//
// A parked task waits with the scheduled ones (in the keys later and due, by the end of its
// time), so that cancels and look-ups find it there. In addition, the sorted set parked has
// its id under the number of its need, and the hash needs has the need of each number: the
// name of the task, its codec and the hash of its schema; see lua/unpark.lua.
//
// Whether a need fits is for minions to decide. They hear of a new need on a channel of the
// queue, and a heartbeat tells them that something is parked, in case the message was lost.
// A consumer then reads the needs, and asks take_parked.lua for the tasks of those that
// fit. In a queue where nothing is parked this costs a minion one command when it starts.

// needVersion is the first byte of a stored need. A need of another version is ignored; its
// tasks become pending again when their time is over.
const needVersion = 1

// appendNeed appends a need as settle.lua takes it: the number of the need (6 bytes), then
// the stored need, which is version (1), schema (8), length of the codec (1), codec, name.
//
// If the task only needs a minion that reads the version of its message, that version
// stands in place of the schema, and the name is empty. No other need has an empty name.
func appendNeed(dst []byte, n broker.Need) []byte {
	schema := n.Schema
	if n.Version != 0 {
		schema = uint64(n.Version)
	}
	text := binary.BigEndian.AppendUint64([]byte{needVersion}, schema)
	text = append(append(text, byte(len(n.Codec))), n.Codec...)
	text = append(text, n.Name...)
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], numberOf(text))
	return append(append(dst, number[2:]...), text...)
}

// numberOf returns the number of a stored need: a hash of 48 bits, which the score of a
// sorted set holds exactly. If two needs have the same hash, minions take some tasks that
// they have to park again.
func numberOf(need []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(need)
	sum := h.Sum64()
	return (sum ^ sum>>48) & (1<<48 - 1)
}

// readNeed reads a stored need.
func readNeed(text string) (n broker.Need, ok bool) {
	const fixed = 1 + 8 + 1
	if len(text) < fixed || text[0] != needVersion || len(text) < fixed+int(text[fixed-1]) {
		return n, false
	}
	rest := text[fixed:]
	codec := int(text[fixed-1])
	schema := binary.BigEndian.Uint64([]byte(text[1:]))
	if len(rest) == 0 {
		return broker.Need{Version: uint8(schema)}, schema != 0 && schema <= wire.MaxMessageVersion
	}
	return broker.Need{Schema: schema, Codec: rest[:codec], Name: rest[codec:]}, true
}

// isNumber reports whether a field of the hash needs is a number of the kind that numberOf
// makes. Any other text, passed to a script as a score, would make the script fail.
func isNumber(name string) bool {
	n, err := strconv.ParseUint(name, 10, 48)
	return err == nil && strconv.FormatUint(n, 10) == name
}

// needs returns the needs of the parked tasks of a partition, by their numbers.
func (b *Broker) needs(ctx context.Context, k *keys) (map[string]broker.Need, error) {
	out := make(map[string]broker.Need)
	for cursor := uint64(0); ; {
		page, next, err := b.rdb.HScan(ctx, k.needs, cursor, "", 1000).Result()
		if err != nil {
			return nil, b.fault("read what parked tasks need", err)
		}
		for i := 0; i+1 < len(page); i += 2 {
			if need, ok := readNeed(page[i+1]); ok && isNumber(page[i]) {
				out[page[i]] = need
			}
		}
		if cursor = next; cursor == 0 {
			return out, nil
		}
	}
}

// maybeParked notes that a partition may have parked tasks for the consumer, so that the
// next Dequeue looks. The caller holds c.mu, or the consumer is not shared yet.
func (c *consumer) maybeParked(k *keys) {
	if !c.able.None() {
		c.parked[k] = true
	}
}

// mayPark reports whether one of the partitions may have parked tasks for the consumer.
func (c *consumer) mayPark(order []*keys) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.parked) > 0 && slices.ContainsFunc(order, func(k *keys) bool { return c.parked[k] && !c.unreachable[k] })
}

// maxNeeds is how many needs one run of take_parked.lua is given.
const maxNeeds = 100

// takeParked takes up to most parked tasks of a partition whose needs fit the consumer. It
// notes that the partition may have more, unless the script has said that it has not.
func (c *consumer) takeParked(ctx context.Context, k *keys, most int) (out []*broker.Delivery, err error) {
	more := true
	defer func() {
		if more {
			c.mu.Lock()
			c.maybeParked(k)
			c.mu.Unlock()
		}
	}()
	// The consumer decides which needs fit, and the script finds the tasks that have them.
	needs, err := c.b.needs(ctx, k)
	if err != nil {
		return nil, err
	}
	var fits []any
	for number, need := range needs {
		if c.able.Fits(need) {
			fits = append(fits, number)
		}
	}
	for len(fits) > 0 && len(out) < most {
		n := min(len(fits), maxNeeds)
		reply, err := scriptParked.texts(ctx, c.b,
			[]string{k.parked, k.needs, k.due, k.scheduled, k.flight(c.minion), k.minions, k.halt, k.flows,
				k.ready, k.checked, k.watch, k.lanes[0], k.lanes[1], k.lanes[2], k.lanes[3], k.lanes[4], k.lanes[5], k.lanes[6], k.lanes[7], k.lanes[8], k.paused, k.aside},
			append([]any{c.minion, most - len(out), broker.MaxBatchBytes, k.wake}, fits[:n]...)...)
		if err != nil {
			c.mu.Lock()
			c.suspect = c.suspect || errors.Is(err, broker.ErrIndeterminate)
			c.mu.Unlock()
			return out, err
		}
		if reply == nil {
			return nil, c.lose()
		}
		if len(reply) < 2 {
			c.mu.Lock()
			c.suspect = true // the script may have handed out tasks
			c.mu.Unlock()
			return out, fmt.Errorf("take parked tasks: %w: the script's reply has %d elements, want at least 2", broker.ErrIndeterminate, len(reply))
		}
		if out, err = c.deliver(ctx, k, reply[2:], toInt(reply[0]), out, fetched); err != nil {
			return out, err
		}
		if reply[1] == "1" { // the script has stopped at a limit, and more tasks fit
			return out, nil
		}
		fits = fits[n:]
	}
	more = len(fits) > 0
	return out, nil
}

// Parked implements [broker.Parker].
func (b *Broker) Parked(ctx context.Context, queue string) ([]broker.Parked, error) {
	return ask(ctx, func() ([]broker.Parked, error) { return b.parkedNow(ctx, queue) })
}

// parkedNow counts the parked tasks of a queue by their needs, over all partitions. A need whose
// tasks were all taken a moment ago is left out.
func (b *Broker) parkedNow(ctx context.Context, queue string) ([]broker.Parked, error) {
	if err := b.alive(ctx); err != nil {
		return nil, err
	}
	if err := broker.CheckName("queue", queue); err != nil {
		return nil, err
	}
	q, err := b.queues.find(ctx, queue)
	if err != nil || q == nil {
		return nil, err
	}
	counts := make(map[broker.Need]int)
	for _, k := range q.parts {
		needs, err := b.needs(ctx, k)
		if err != nil {
			return nil, err
		}
		for number, need := range needs {
			n, err := b.rdb.ZCount(ctx, k.parked, number, number).Result()
			if err != nil {
				return nil, b.fault("count parked tasks", err)
			}
			counts[need] += int(n)
		}
	}
	out := make([]broker.Parked, 0, len(counts))
	for need, n := range counts {
		if n > 0 {
			out = append(out, broker.Parked{Need: need, Tasks: n})
		}
	}
	slices.SortFunc(out, func(x, y broker.Parked) int { return x.Need.Compare(y.Need) })
	return out, nil
}
