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
	"github.com/go-arbiter/arbiter/broker/wire"
)

// This file takes tasks from queues. There are two ways, and Dequeue chooses between them.
//
// The script dequeue brings a batch, makes due tasks ready and checks what must be checked
// before a task starts. A busy consumer uses it. A blocking move (blocking_move.go) waits at the
// server and brings one task with no delay. A consumer of one partition waits with it when the
// queue is empty. A queue that needs the script puts a token in the ready list, so that
// the move returns and the script runs. A consumer of several partitions can't wait in all of
// them with one move; it waits for the wake channels of its queues instead.
//
// A reply can be lost after the server has handed out tasks. The consumer is then suspect: the
// next Dequeue compares what it holds with what the server says (adopt), and returns
// the difference.

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
			return nil, fmt.Errorf("dequeue: %w: the consumer was opened without queue %q", broker.ErrInvalid, name)
		}
		first := c.turn % len(q.parts) // so that every partition is first equally often
		order = append(append(order, q.parts[first:]...), q.parts[:first]...)
	}
	if most < 1 || len(order) == 0 {
		return nil, fmt.Errorf("dequeue: %w: %d tasks of %d queues", broker.ErrInvalid, most, len(order))
	}
	most = min(most, broker.MaxBatch)
	if wait <= 0 { // no wake-up can come, so ask every partition
		for _, k := range order {
			c.again(k)
		}
	}
	// First come tasks of lost replies, then those that the script finds; then the call waits for a
	// reason to ask again. A wait that ends without one is the end of the call.
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

// After a move that had to wait, the queue is most likely empty again. So the next Dequeue
// begins with another move and does not run the script first, which would only delay the
// settlement of the task at hand. If a task has come meanwhile the move takes it at once.
//
// A move brings one task and the script many, so this must stop when the queue fills. It
// is done only after a move that took longer than the round trip to the server explains, and
// a limited number of times in a row; then the script runs and measures the round trip
// again.
const (
	straightAfter = time.Millisecond      // a move waited if it took longer than this and two round trips
	straightWait  = 50 * time.Millisecond // calls of Dequeue with a shorter wait always run the script first
	straightMost  = 8                     // how many moves in a row
)

// await waits until asking the server may bring something, at most until the given time. A
// consumer of one partition waits with a blocking move, which may bring a task itself. No
// move is under way when await returns.
func (c *consumer) await(ctx context.Context, order []*keys, until time.Time) ([]*broker.Delivery, error) {
	left := time.Until(until)
	if left <= 0 {
		return nil, nil
	}
	deadline := time.NewTimer(left)
	defer deadline.Stop()
	var move <-chan moveResult // nil if none is under way
	for {
		if c.single && move == nil {
			if c.mayPark(order) { // a move takes ready tasks only, so the script must run
				return nil, nil
			}
			var err error
			if move, err = c.mover.start(ctx, c.b, order[0], c.minion, time.Until(until), c.dueIn(order)); err != nil {
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
			out, token, err := c.moved(ctx, order[0], r)
			if err != nil || len(out) > 0 || token || c.dueIn(order) <= 0 {
				return out, err
			}
			continue // the move has ended without a task after its time slice
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
		case <-c.closing:
			why = c.errClosed()
		}
		stop()
		// Never leave a move behind: it would take a task that nobody is waiting for.
		if move != nil {
			// The move may still have brought a task at the last moment.
			if out, _, err := c.moved(ctx, order[0], c.mover.end(now, why != nil)); len(out) > 0 || why == nil && err != nil {
				return out, err
			}
		}
		return nil, why
	}
}

// pressing reports whether a change is a reason to ask the server now.
func (c *consumer) pressing(order []*keys) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.suspect || c.lost || c.closed {
		return true
	}
	return slices.ContainsFunc(order, func(k *keys) bool { return (!c.single && c.ready[k] || c.parked[k]) && !c.unreachable[k] })
}

// moved reads the result of a blocking move. It reports token if the move has brought a token
// in place of a task; then the script has to run.
func (c *consumer) moved(ctx context.Context, k *keys, r moveResult) (out []*broker.Delivery, token bool, err error) {
	c.mover.taken(r)
	c.straight = false
	if r.err != nil { // the move may have brought a task whose reply was lost
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
	// See straightAfter for why this decides how the next call begins.
	c.straight = r.waited >= straightAfter+2*c.trip && c.straights < straightMost
	return out, false, nil
}

// nextDue returns a channel that receives when the next task becomes due, and a function that
// stops the timer. The channel is nil if no task is scheduled.
func (c *consumer) nextDue(order []*keys) (<-chan time.Time, func()) {
	in := c.dueIn(order)
	if in == never {
		return nil, func() {}
	}
	t := time.NewTimer(in)
	return t.C, func() { t.Stop() }
}

// never is what dueIn returns if no task is scheduled.
const never = time.Duration(1<<63 - 1)

// dueIn returns how long it is until the next task of these partitions becomes due, and never if
// none is scheduled. Unreachable partitions are left out.
func (c *consumer) dueIn(order []*keys) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := never
	for _, k := range order {
		if at, ok := c.due[k]; ok && !c.unreachable[k] {
			in = min(in, time.Until(at))
		}
	}
	return in
}

// serverNow returns an estimate of the server's time in ms: its time in the last reply, plus
// the time since then by the local monotonic clock.
func (c *consumer) serverNow() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock + time.Since(c.clockAt).Milliseconds()
}

// note records when the next task of a partition is due, and the server's time. due is the score
// in a reply, empty if no task is scheduled; now is the server's time in ms in that reply.
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

// farAhead limits the time until a due task that a consumer remembers. If the task is due
// later than that, the consumer asks again after this time.
const farAhead = 24 * time.Hour

// untilDue returns how long after now, the server's time in ms, a score is reached. ok is false
// if the score is empty or no number. The result is between 0 and farAhead, since a damaged
// score can be any number.
func untilDue(score string, now int64) (in time.Duration, ok bool) {
	if score == "" {
		return 0, false
	}
	at, err := strconv.ParseFloat(score, 64)
	if err != nil && !math.IsInf(at, 0) || math.IsNaN(at) {
		return 0, false
	}
	// Add a millisecond, because the server compares whole milliseconds.
	left := math.Ceil(at) - float64(now) + 1
	return time.Duration(max(min(left, float64(farAhead.Milliseconds())), 0)) * time.Millisecond, true
}

// soon notes that a task of a partition is due after d, and wakes a waiting Dequeue. An earlier
// due time that is known stays.
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

// fetch runs the dequeue script for the partitions that may have tasks, in order, until it has
// most tasks.
func (c *consumer) fetch(ctx context.Context, order []*keys, most int) ([]*broker.Delivery, error) {
	var out []*broker.Delivery
	for _, k := range order {
		// A consumer of one partition always asks, as it has no wake channel. One of several asks
		// where something tells that there may be tasks.
		c.mu.Lock()
		ask := c.single || (c.ready[k] || c.parked[k]) && !c.unreachable[k]
		parked := c.parked[k] && !c.unreachable[k] && len(out) < most
		if at, ok := c.due[k]; ok && !c.unreachable[k] && !time.Now().Before(at) {
			ask = true
		}
		if ask {
			delete(c.ready, k) // before the request, so that a later wake-up is not lost
		}
		if parked {
			delete(c.parked, k)
		}
		c.mu.Unlock()
		if !ask || len(out) >= most {
			if ask { // there is no room left, so the next call asks
				c.again(k)
			}
			continue
		}
		got, more, err := c.fetchFrom(ctx, k, parked, most-len(out))
		if out == nil { // the usual case needs no copy
			out = got
		} else {
			out = append(out, got...)
		}
		if err != nil {
			c.again(k)
			if err = c.tolerate(k, err); err == nil {
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

// fetchFrom takes tasks from one partition: parked ones first, if parked says that there may be
// some. more reports whether the partition may have further tasks.
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

// sofar returns the tasks if there are any, and else the error. An error that is dropped
// occurs again with the next call.
func sofar(out []*broker.Delivery, err error) ([]*broker.Delivery, error) {
	if len(out) > 0 {
		return out, nil
	}
	return nil, err
}

// distrust notes that a reply that was lost may have had tasks.
func (c *consumer) distrust() {
	c.mu.Lock()
	c.suspect = true
	c.mu.Unlock()
	c.change()
}

// again notes that a partition may have tasks.
func (c *consumer) again(k *keys) {
	c.mu.Lock()
	c.ready[k] = true
	c.mu.Unlock()
}

// fetchOne runs the dequeue script for one partition. It repeats that while the script returns
// only cancelled messages and says that there are more. The reply has the server's time,
// the next due time, whether there is more, the number of messages, and these.
func (c *consumer) fetchOne(ctx context.Context, k *keys, most int) (out []*broker.Delivery, more bool, err error) {
	for {
		asked := time.Now()
		reply, err := askOr(ctx, func() ([]string, error) {
			return scriptDequeue.texts(ctx, c.b,
				[]string{k.ready, k.checked, k.canceled, k.due, k.scheduled, k.flight(c.minion), k.minions, k.unreadable, k.watch, k.parked, k.needs, k.halt, k.flows,
					k.lanes[0], k.lanes[1], k.lanes[2], k.lanes[3], k.lanes[4], k.lanes[5], k.lanes[6], k.lanes[7], k.lanes[8],
					k.paused, k.aside, k.back},
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
			c.suspect = true // tasks may have been handed out
			c.mu.Unlock()
			return nil, true, fmt.Errorf("dequeue: %w: malformed reply of %d elements", broker.ErrIndeterminate, len(reply))
		}
		now := toInt(reply[0])
		c.note(k, reply[1], now)
		more = reply[2] == "1"
		out, err = c.deliver(ctx, k, reply[4:4+n], now, slices.Grow(out, n), fetched)
		if err != nil {
			return nil, true, err
		}
		// If all messages of a call were cancelled it brings no task, though more may follow.
		if len(out) > 0 || !more {
			return out, more, nil
		}
	}
}

// setAside moves unreadable messages from the hash flight to the list of unreadable records, so
// that adopt does not find them again and again. It returns the other messages. ids and msgs
// are fields and values of the hash; a value that is no string was removed meanwhile.
func (c *consumer) setAside(ctx context.Context, k *keys, flight string, ids []string, msgs []any) ([]any, error) {
	var bad []any
	good := msgs[:0]
	for i, v := range msgs {
		msg, is := v.(string)
		switch {
		case !is: // settled meanwhile
		case legible(msg) && msg[wire.OffsetID:wire.OffsetID+len(broker.ID{})] == ids[i]:
			good = append(good, v)
		default:
			bad = append(bad, ids[i])
		}
	}
	if len(bad) == 0 {
		return good, nil
	}
	_, err := scriptSetAside.run(ctx, c.b, []string{flight, k.unreadable}, bad...)
	if err == nil {
		c.b.log.Error("redis: messages that the minion holds can't be read and were put aside", "queue", k.queue, "messages", len(bad))
	}
	return good, err
}

// legible reports whether the head of a message can be read, by the same rules as
// readable.lua.
func legible(msg string) bool {
	return len(msg) >= wire.HeadSize && msg[0] >= wire.PlainVersion && msg[0] <= wire.MaxMessageVersion || isStub(msg)
}

// adopt returns tasks that the consumer holds as the server sees it, but has not received,
// because a reply was lost. It does nothing unless the consumer is suspect. If it can't
// look everywhere, or there are more than most, the consumer stays suspect.
func (c *consumer) adopt(ctx context.Context, most int) ([]*broker.Delivery, error) {
	c.mu.Lock()
	suspect := c.suspect
	c.suspect = false // before the requests, so that a reply lost from here on is not forgotten
	c.mu.Unlock()
	if !suspect {
		return nil, nil
	}
	// complete is false if some tasks are left for the next call; over is true if the loop has not
	// been left by an error.
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
		if c.isUnreachable(k) { // it may not be registered there, and must not lose the other queues for that
			complete = c.doubt(k) && complete
			continue
		}
		flight := k.flight(c.minion)
		reply, err := ask(ctx, func() (any, error) {
			return scriptAdopt.run(ctx, c.b, []string{flight, k.claim(c.minion), k.minions, k.unreadable}, c.minion)
		})
		if err != nil {
			if err = c.tolerate(k, err); err == nil {
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
		// The server has listed the ids that are in flight here. Only unknown ones are read.
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
		if msgs, err = c.setAside(ctx, k, flight, unknown, msgs); err != nil {
			return sofar(out, err)
		}
		if out, err = c.deliver(ctx, k, texts(msgs), now, out, pushed); err != nil {
			return sofar(out, err)
		}
	}
	over = true
	return out, nil
}
