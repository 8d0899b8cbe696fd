package redis

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/slab"
)

// This file turns the messages that scripts and blocking moves return into deliveries.
//
// Deliver is the only way by which a task becomes held. A message can come to a consumer more
// than once: an assignment is repeated when its reply is lost, and a search for tasks of
// lost replies (adopt) can find what is on its way. So deliver compares each attempt with those
// that are held or were delivered lately, and drops repetitions.

// deliver parses messages, adds the tasks to those that are held, and appends them to out. It
// leaves out messages that can't be read, which scripts move to the list of unreadable
// records, and attempts that were delivered before. After an error nothing was delivered,
// and the consumer is marked as suspect, so that the next Dequeue finds the tasks again.
func (c *consumer) deliver(ctx context.Context, k *keys, msgs []string, now int64, out []*broker.Delivery, how way) ([]*broker.Delivery, error) {
	// The tasks belong to this consumer already. So the end of ctx must not stop this.
	records, err := c.b.largeRecords(context.WithoutCancel(ctx), k, msgs)
	if err != nil {
		c.mu.Lock()
		c.suspect = true
		c.mu.Unlock()
		return out, err
	}
	first := len(out)
	var large []bool // for each delivery, whether it has a large record; nil if none has
	deliveries, payloads := slab.Of[broker.Delivery]{Left: len(msgs)}, slab.Bytes{Left: len(msgs)}
	for i, m := range msgs {
		d := deliveries.Next()
		d.Payload = payloads.Room()
		if !c.read(k, d, m, recordAt(records, i), now) {
			continue
		}
		d.Payload = payloads.Keep(d.Payload)
		out = append(out, d)
		if records != nil {
			large = append(large, isStub(m))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := out[:first]
	for i, d := range out[first:] {
		if h, ok := c.held.get(d.ID); ok && h.attempt == d.Attempt || how == pushed && !c.first(d) {
			continue
		}
		c.held.put(d.ID, holding{attempt: d.Attempt, large: large != nil && large[i], keys: k})
		if len(c.early) > 0 {
			if _, ok := c.early[d.ID]; ok {
				delete(c.early, d.ID)
				d.Canceled = true
			}
		}
		fresh = append(fresh, d)
	}
	clear(out[len(fresh):])
	return fresh, nil
}

// read parses a message into d. It returns false if not even its head can be read. If only
// the rest can't be read, the delivery has the error in d.Err.
func (c *consumer) read(k *keys, d *broker.Delivery, msg string, record []byte, now int64) bool {
	d.Queue, d.Minion = k.queue, c.id
	err := c.b.parse(d, msg, record, now)
	if err == nil {
		return true
	}
	if d.ID.IsZero() {
		if msg != "!" {
			c.b.log.Error("redis: a message in the queue can't be read and was put aside", "queue", k.queue, "error", err)
		}
		return false
	}
	d.Err = err
	return true
}

// push is an attempt that was delivered as pushed, and when.
type push struct {
	attempt uint32
	at      time.Time
}

// way is how a message has come to a consumer.
type way bool

const (
	fetched way = false // taken from a queue: it comes once
	pushed  way = true  // assigned, or found by adopt: it may come more than once; see first
)

// first reports whether a pushed attempt has come for the first time, and remembers it. An
// arbiter repeats an assignment whose reply was lost, and adopt may find an assigned task
// before the message of the assignment comes. By the time of the second delivery the attempt
// may have ended here, and it must not start again. c.mu must be locked.
func (c *consumer) first(d *broker.Delivery) bool {
	if p, ok := c.pushed[d.ID]; ok && p.attempt >= d.Attempt {
		return false
	}
	c.pushed[d.ID] = push{d.Attempt, time.Now()}
	return true
}
