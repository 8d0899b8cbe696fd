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
)

// A parked task waits where delayed ones do, with the end of its time, so that cancels
// and look-ups find it there. Beside that its queue knows what it needs of a minion; see
// lua/unpark.lua. Who can run it is for minions to say: they are told of a new need by a
// channel of the queue, and with a heartbeat, should that be lost. Where nothing is
// parked this costs a minion one command when it begins.

// needVersion is the first byte of a need in Redis. A need that another version wrote is
// left alone, and its tasks are pending again when their time is over.
const needVersion = 1

// appendNeed appends what the settle script is told of a need: its number, and what that
// stands for, which is the version, the schema, and the codec behind its length, and the
// name.
//
// If a task needs somebody who reads the version of its message, the version is in place
// of the schema, and the name is empty, which no other is.
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

// numberOf returns the number of a need: 48 bits, which the score of a sorted set can
// have. If two needs share one, minions take some tasks that they have to park again.
func numberOf(need []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(need)
	sum := h.Sum64()
	return (sum ^ sum>>48) & (1<<48 - 1)
}

// readNeed reads what a number stands for.
func readNeed(text string) (n broker.Need, ok bool) {
	const fixed = 1 + 8 + 1
	if len(text) < fixed || text[0] != needVersion || len(text) < fixed+int(text[fixed-1]) {
		return n, false
	}
	rest := text[fixed:]
	codec := int(text[fixed-1])
	schema := binary.BigEndian.Uint64([]byte(text[1:]))
	if len(rest) == 0 {
		return broker.Need{Version: uint8(schema)}, schema != 0 && schema <= broker.MaxMessageVersion
	}
	return broker.Need{Schema: schema, Codec: rest[:codec], Name: rest[codec:]}, true
}

// isNumber reports whether the name of a need is a number, as numberOf makes it. Scripts
// would fail of another one.
func isNumber(name string) bool {
	n, err := strconv.ParseUint(name, 10, 48)
	return err == nil && strconv.FormatUint(n, 10) == name
}

// needs returns what the parked tasks of a queue need, by the numbers of that.
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

// maybeParked notes that a queue may have parked tasks for the consumer. c.mu is held, or
// nobody else knows it yet.
func (c *consumer) maybeParked(k *keys) {
	if !c.able.None() {
		c.parked[k] = true
	}
}

// mayPark reports whether one of the queues may have parked tasks for the consumer.
func (c *consumer) mayPark(order []*keys) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.parked) > 0 && slices.ContainsFunc(order, func(k *keys) bool { return c.parked[k] && !c.away[k] })
}

// maxNeeds is how many needs a run of the script is asked for.
const maxNeeds = 100

// takeParked takes what is parked in a queue and the consumer may have. If more is left
// it is noted that there may be.
func (c *consumer) takeParked(ctx context.Context, k *keys, most int) (out []*broker.Delivery, err error) {
	more := true
	defer func() {
		if more {
			c.mu.Lock()
			c.maybeParked(k)
			c.mu.Unlock()
		}
	}()
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
			[]string{k.parked, k.needs, k.due, k.later, k.flight(c.minion), k.minions, k.halt, k.flows},
			append([]any{c.minion, most - len(out), broker.MaxBatchBytes}, fits[:n]...)...)
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
			c.suspect = true // we may have been given tasks
			c.mu.Unlock()
			return out, fmt.Errorf("take parked tasks: %w: a reply of %d elements that is none of the script's", broker.ErrIndeterminate, len(reply))
		}
		if out, err = c.deliver(ctx, k, reply[2:], toInt(reply[0]), out, fetched); err != nil {
			return out, err
		}
		if reply[1] == "1" {
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
