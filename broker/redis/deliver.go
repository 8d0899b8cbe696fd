package redis

import (
	"context"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/slab"
)

// deliver turns messages into deliveries, remembers that we hold them and appends
// them to out. It leaves out what is no message, which the scripts put aside, and
// what we hold or had already: it was assigned to us again, or found at the server
// meanwhile. After an error none was delivered, and they are found again.
func (c *consumer) deliver(ctx context.Context, k *keys, msgs []string, now int64, out []*broker.Delivery, how way) ([]*broker.Delivery, error) {
	// They are ours, and will be when ctx has ended.
	records, err := c.b.records(context.WithoutCancel(ctx), k, msgs)
	if err != nil {
		c.mu.Lock()
		c.suspect = true
		c.mu.Unlock()
		return out, err
	}
	first := len(out)
	var apart []bool // of each that is read, if there are any
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
			apart = append(apart, isEntry(m))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := out[:first]
	for i, d := range out[first:] {
		if h, ok := c.held.get(d.ID); ok && h.attempt == d.Attempt || how == pushed && !c.first(d) {
			continue
		}
		c.held.put(d.ID, holding{attempt: d.Attempt, apart: apart != nil && apart[i], keys: k})
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

// read reads a message into d, and reports whether it is one.
func (c *consumer) read(k *keys, d *broker.Delivery, msg string, record []byte, now int64) bool {
	d.Queue, d.Minion = k.queue, c.id
	err := c.b.parse(d, msg, record, now)
	if err == nil {
		return true
	}
	if d.ID.IsZero() {
		if msg != "!" {
			c.b.log.Error("redis: a record in the queue can't be read and was put aside", "queue", k.queue, "error", err)
		}
		return false
	}
	d.Err = err
	return true
}

// push is what first remembers of an attempt.
type push struct {
	attempt uint32
	at      time.Time
}

// way is how a message comes to a consumer.
type way bool

const (
	fetched way = false // from a queue, once
	pushed  way = true  // it was assigned, or found at the server: perhaps more than once; see first
)

// first says whether an attempt that is not fetched from a queue comes to us for
// the first time. Who assigns sends it again if the reply is lost, and Dequeue may
// find it at the server before it is heard of: by then it can be over here, and
// must not start again. c.mu is held.
func (c *consumer) first(d *broker.Delivery) bool {
	if p, ok := c.pushed[d.ID]; ok && p.attempt >= d.Attempt {
		return false
	}
	c.pushed[d.ID] = push{d.Attempt, time.Now()}
	return true
}
