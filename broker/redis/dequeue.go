package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Dequeue implements [broker.Consumer].
func (c *consumer) Dequeue(ctx context.Context, queues []string, most int, wait time.Duration) ([]*broker.Delivery, error) {
	if err := c.usable(ctx); err != nil {
		return nil, err
	}
	c.dequeuing.Lock()
	defer c.dequeuing.Unlock()
	c.turn++
	order := make([]*keys, 0, len(c.order))
	for _, name := range queues {
		q := c.queues[name]
		if q == nil {
			return nil, fmt.Errorf("dequeue: %w: queue %q is not one of this consumer", broker.ErrInvalid, name)
		}
		first := c.turn % len(q.parts) // each partition comes first in its turn
		order = append(append(order, q.parts[first:]...), q.parts[:first]...)
	}
	if most < 1 || len(order) == 0 {
		return nil, fmt.Errorf("dequeue: %w: %d tasks of %d queues", broker.ErrInvalid, most, len(order))
	}
	most = min(most, broker.MaxBatch)
	if wait <= 0 { // it can't be woken
		for _, k := range order {
			c.again(k)
		}
	}
	for until := time.Now().Add(wait); ; {
		if err := c.usable(ctx); err != nil {
			return nil, err
		}
		if out, err := c.adopt(ctx, most); err != nil || len(out) > 0 {
			return out, err
		}
		if straight := c.straight && wait >= straightWait && !c.mayPark(order); straight {
			c.straight = false
			c.straights++
		} else if out, err := c.fetch(ctx, order, most); err != nil || len(out) > 0 {
			return out, err
		}
		if out, err := c.await(ctx, order, until); err != nil || len(out) > 0 {
			return out, err
		}
		if !time.Now().Before(until) {
			return nil, nil
		}
	}
}

// Who had to wait for a task will most likely wait for the next one, too. So a
// move that had to wait is followed by another one, which takes what has come
// meanwhile all the same, and not by the script, which would be in the way of the
// task's settlement. But a move brings one task, and the script brings many: what a
// move takes because the server is far away is no wait, and after some moves the
// script tells how far it is now.
const (
	straightAfter = time.Millisecond      // and two trips to the server
	straightWait  = 50 * time.Millisecond // who asks for less is not made to wait
	straightMost  = 8                     // in a row, after one that was not
)

// await waits until there is something to ask the server for, at most until
// then. A consumer of one queue waits with a blocking move, which may bring a
// task itself; none is under way when await returns.
func (c *consumer) await(ctx context.Context, order []*keys, until time.Time) ([]*broker.Delivery, error) {
	left := time.Until(until)
	if left <= 0 {
		return nil, nil
	}
	deadline := time.NewTimer(left)
	defer deadline.Stop()
	var move <-chan popped // nil if none is under way
	for {
		if c.single && move == nil {
			if c.mayPark(order) {
				return nil, nil
			}
			var err error
			if move, err = c.pop.start(ctx, c.b, order[0], c.minion, time.Until(until), c.dueIn(order)); err != nil {
				return nil, err
			}
		}
		next, stop := c.nextDue(order)
		var why error
		now := true
		select {
		case r := <-move:
			move = nil
			stop()
			out, token, err := c.popped(ctx, order[0], r)
			if err != nil || len(out) > 0 || token || c.dueIn(order) <= 0 {
				return out, err
			}
			continue // the end of a slice
		case <-c.changed:
			stop()
			if !c.pressing(order) {
				continue
			}
		case <-next:
		case <-deadline.C:
			now = false
		case <-ctx.Done():
			why = ctx.Err()
		case <-c.b.ctx.Done():
			why = c.b.errClosed()
		case <-c.gone:
			why = c.errClosed()
		}
		stop()
		if move != nil {
			// What comes at the last moment is ours.
			if out, _, err := c.popped(ctx, order[0], c.pop.end(now, why != nil)); len(out) > 0 || why == nil && err != nil {
				return out, err
			}
		}
		return nil, why
	}
}

// pressing says whether a change is one that asking the server answers.
func (c *consumer) pressing(order []*keys) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.suspect || c.lost || c.closed {
		return true
	}
	return slices.ContainsFunc(order, func(k *keys) bool { return (!c.single && c.ready[k] || c.parked[k]) && !c.away[k] })
}

// popped reads the result of a blocking move. A token sends us to the script.
func (c *consumer) popped(ctx context.Context, k *keys, r popped) (out []*broker.Delivery, token bool, err error) {
	c.pop.taken(r)
	c.straight = false
	if r.err != nil {
		c.mu.Lock()
		c.suspect = true
		c.mu.Unlock()
		if r.cut {
			return nil, false, nil
		}
		return nil, false, r.err
	}
	if r.msg == "" {
		return nil, false, nil
	}
	out, err = c.deliver(ctx, k, []string{r.msg}, c.serverNow(), nil, fetched)
	if err != nil || len(out) == 0 {
		return nil, err == nil, err
	}
	c.straight = r.waited >= straightAfter+2*c.trip && c.straights < straightMost
	return out, false, nil
}

// nextDue returns a channel that tells when the next task becomes due, and how
// to release it.
func (c *consumer) nextDue(order []*keys) (<-chan time.Time, func()) {
	in := c.dueIn(order)
	if in == never {
		return nil, func() {}
	}
	t := time.NewTimer(in)
	return t.C, func() { t.Stop() }
}

const never = time.Duration(1<<63 - 1)

// dueIn returns how long it is until the next task becomes due.
func (c *consumer) dueIn(order []*keys) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := never
	for _, k := range order {
		if at, ok := c.due[k]; ok && !c.away[k] {
			in = min(in, time.Until(at))
		}
	}
	return in
}

// serverNow is the server's time in ms: what it was at the last reply, and what
// has passed since by our monotonic clock.
func (c *consumer) serverNow() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock + time.Since(c.clockAt).Milliseconds()
}

// note keeps when the next task of a queue is due: by the server's clock at
// due, which is now there.
func (c *consumer) note(k *keys, due any, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock, c.clockAt = now, time.Now()
	if in, ok := untilDue(toString(due), now); ok {
		c.due[k] = time.Now().Add(in)
	} else {
		delete(c.due, k)
	}
}

// farAhead is how long ahead a consumer keeps in mind that something is due at most. It
// asks again then.
const farAhead = 24 * time.Hour

// untilDue returns how long it is from now, in ms of the server's clock, until something
// is due, with a score as the server says it: ” if there is nothing. A damaged score can
// be any number.
func untilDue(score string, now int64) (in time.Duration, ok bool) {
	if score == "" {
		return 0, false
	}
	at, err := strconv.ParseFloat(score, 64)
	if err != nil && !math.IsInf(at, 0) || math.IsNaN(at) {
		return 0, false
	}
	// A millisecond more: the server compares whole ones.
	left := math.Ceil(at) - float64(now) + 1
	return time.Duration(max(min(left, float64(farAhead.Milliseconds())), 0)) * time.Millisecond, true
}

// soon keeps that a queue's next task is due in a while, perhaps sooner than was
// known.
func (c *consumer) soon(k *keys, d time.Duration) {
	at := time.Now().Add(max(min(d, farAhead), 0))
	c.mu.Lock()
	old, ok := c.due[k]
	if !ok || at.Before(old) {
		c.due[k] = at
	}
	c.mu.Unlock()
	c.change()
}

// fetch asks the queues that may have tasks, in order.
func (c *consumer) fetch(ctx context.Context, order []*keys, most int) ([]*broker.Delivery, error) {
	var out []*broker.Delivery
	for _, k := range order {
		c.mu.Lock()
		ask := c.single || (c.ready[k] || c.parked[k]) && !c.away[k]
		parked := c.parked[k] && !c.away[k] && len(out) < most
		if at, ok := c.due[k]; ok && !c.away[k] && !time.Now().Before(at) {
			ask = true
		}
		if ask {
			delete(c.ready, k) // a wake-up that comes from here on counts
		}
		if parked {
			delete(c.parked, k)
		}
		c.mu.Unlock()
		if !ask || len(out) >= most {
			if ask {
				c.again(k)
			}
			continue
		}
		got, more, err := c.fetchFrom(ctx, k, parked, most-len(out))
		if out == nil { // as with one queue
			out = got
		} else {
			out = append(out, got...)
		}
		if err != nil {
			c.again(k)
			if err = c.missed(k, err); err == nil {
				continue
			}
			if errors.Is(err, broker.ErrLeaseLost) {
				return nil, err
			}
			return sofar(out, err)
		}
		if more {
			c.again(k)
		}
	}
	return out, nil
}

// fetchFrom asks one queue: for what is parked there first, if anything may be.
func (c *consumer) fetchFrom(ctx context.Context, k *keys, parked bool, most int) (out []*broker.Delivery, more bool, err error) {
	if !parked {
		return c.fetchOne(ctx, k, most)
	}
	if out, err = c.takeParked(ctx, k, most); err != nil || len(out) >= most {
		return out, true, err
	}
	got, more, err := c.fetchOne(ctx, k, most-len(out))
	return append(out, got...), more, err
}

// sofar returns what there is, if there is something: the next call meets the
// error again.
func sofar(out []*broker.Delivery, err error) ([]*broker.Delivery, error) {
	if len(out) > 0 {
		return out, nil
	}
	return nil, err
}

// distrust notes that we may have been given tasks by a reply that nobody has seen.
func (c *consumer) distrust() {
	c.mu.Lock()
	c.suspect = true
	c.mu.Unlock()
	c.change()
}

func (c *consumer) again(k *keys) {
	c.mu.Lock()
	c.ready[k] = true
	c.mu.Unlock()
}

func (c *consumer) fetchOne(ctx context.Context, k *keys, most int) (out []*broker.Delivery, more bool, err error) {
	for {
		asked := time.Now()
		reply, err := askOr(ctx, func() ([]string, error) {
			return scriptDequeue.texts(ctx, c.b,
				[]string{k.ready, k.held, k.gone, k.due, k.later, k.flight(c.minion), k.minions, k.odd, k.watch, k.parked, k.needs, k.halt, k.flows},
				c.minion, k.wake, most, broker.MaxBatchBytes)
		}, func([]string, error) { c.distrust() })
		if err != nil {
			c.mu.Lock()
			c.suspect = c.suspect || errors.Is(err, broker.ErrIndeterminate)
			c.mu.Unlock()
			return nil, true, err
		}
		if reply == nil {
			return nil, false, c.lose()
		}
		c.straights, c.trip = 0, time.Since(asked)
		n := 0
		if len(reply) >= 4 {
			n = int(toInt(reply[3]))
		}
		if n < 0 || n > len(reply)-4 {
			c.mu.Lock()
			c.suspect = true // we may have been given tasks
			c.mu.Unlock()
			return nil, true, fmt.Errorf("dequeue: %w: a reply of %d elements that is none of the script's", broker.ErrIndeterminate, len(reply))
		}
		now := toInt(reply[0])
		c.note(k, reply[1], now)
		more = reply[2] == "1"
		msgs, dropped := reply[4:4+n], reply[4+n:]
		out, err = c.deliver(ctx, k, msgs, now, slices.Grow(out, n), fetched)
		if len(dropped) > 0 {
			_ = do(ctx, func() error { c.b.unlock(ctx, k, dropped); return nil })
		}
		if err != nil {
			return nil, true, err
		}
		// A run of cancelled messages fills a call without bringing anything.
		if len(out) > 0 || !more {
			return out, more, nil
		}
	}
}

// shelve puts aside those messages of what we hold, by their ids, that nobody can read,
// and returns the others. They would be found again and again.
func (c *consumer) shelve(ctx context.Context, k *keys, flight string, ids []string, msgs []any) ([]any, error) {
	var bad []any
	good := msgs[:0]
	for i, v := range msgs {
		msg, is := v.(string)
		switch {
		case !is: // settled meanwhile
		case legible(msg) && msg[broker.OffsetID:broker.OffsetID+len(broker.ID{})] == ids[i]:
			good = append(good, v)
		default:
			bad = append(bad, ids[i])
		}
	}
	if len(bad) == 0 {
		return good, nil
	}
	_, err := scriptShelve.run(ctx, c.b, []string{flight, k.odd}, bad...)
	if err == nil {
		c.b.log.Error("redis: records that the minion holds can't be read and were put aside", "queue", k.queue, "records", len(bad))
	}
	return good, err
}

// legible is what readable.lua says of a message.
func legible(msg string) bool {
	return len(msg) >= broker.HeadSize && msg[0] >= broker.MessageVersion && msg[0] <= broker.MaxMessageVersion || isEntry(msg)
}

// adopt hands out what the server says we hold and we never heard of, after a
// reply was lost.
func (c *consumer) adopt(ctx context.Context, most int) ([]*broker.Delivery, error) {
	c.mu.Lock()
	suspect := c.suspect
	c.suspect = false // doubts that come from here on are for the next call
	c.mu.Unlock()
	if !suspect {
		return nil, nil
	}
	var out []*broker.Delivery
	complete, over := true, false
	defer func() {
		if !complete || !over {
			c.mu.Lock()
			c.suspect = true
			c.mu.Unlock()
		}
	}()
	for _, k := range c.order {
		if c.isAway(k) { // there it may not be registered: no reason to lose the others
			complete = c.doubt(k) && complete
			continue
		}
		flight := k.flight(c.minion)
		reply, err := ask(ctx, func() (any, error) {
			return scriptAdopt.run(ctx, c.b, []string{flight, k.claim(c.minion), k.minions, k.odd}, c.minion)
		})
		if err != nil {
			if err = c.missed(k, err); err == nil {
				complete = c.doubt(k) && complete
				continue
			}
			return sofar(out, err)
		}
		if reply == nil {
			return nil, c.lose()
		}
		list := toList(reply)
		now := toInt(item(list, 0))
		var unknown []string
		c.mu.Lock()
		for _, id := range toStrings(item(list, 1)) {
			if _, ok := c.held.get(toID(id)); !ok {
				unknown = append(unknown, id)
			}
		}
		c.mu.Unlock()
		if len(unknown) > most-len(out) {
			unknown, complete = unknown[:most-len(out)], false
		}
		if len(unknown) == 0 {
			continue
		}
		msgs, err := ask(ctx, func() ([]any, error) {
			msgs, err := c.b.rdb.HMGet(ctx, flight, unknown...).Result()
			return msgs, c.b.fault("adopt tasks", err)
		})
		if err != nil {
			return sofar(out, err)
		}
		if msgs, err = c.shelve(ctx, k, flight, unknown, msgs); err != nil {
			return sofar(out, err)
		}
		if out, err = c.deliver(ctx, k, texts(msgs), now, out, pushed); err != nil {
			return sofar(out, err)
		}
	}
	over = true
	return out, nil
}
