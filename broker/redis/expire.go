package redis

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// This file ends tasks whose deadlines pass while they wait: for their due time, for a slot, for
// other tasks of a flow, or for their next attempt. A minion ends a task whose deadline passes
// while it runs.
//
// The server has the deadlines of the waiting tasks of a queue in a sorted set. A process that
// knows of a deadline sets a timer, and when the deadline has passed it looks at the set and
// ends the expired tasks. A process learns of deadlines in four ways: it has sent such
// a task; it has looked up a task of the queue; a heartbeat of one of its minions tells the
// first deadline; or a visit of the periodic round does (round.go). So a process that waits for
// the result is enough, no minion need serve the queue, and a queue without deadlines costs
// nothing.
//
// The process that has sent a task looks as soon as the deadline has passed. The others leave
// it a random time (expiryLeave), so that usually one process does the work. Several may do
// it at once, and each may die at any line: an id stays in the set until the script that ends
// the task has run, and a task ends once.

// expiry is the timer of a broker for deadlines.
type expiry struct {
	b *Broker

	mu      sync.Mutex
	next    map[*keys]time.Time // when to look at a partition
	busy    map[*keys]bool      // partitions that are being looked at
	timer   *time.Timer         // fires at the first of next
	closed  bool
	inboxes map[*inbox]bool // told of arrivals if this process has no minion to tell
}

const (
	expiryLeave = 250 * time.Millisecond // how long other processes leave the work to the sender, at least; at most twice that
	expiryGap   = 50 * time.Millisecond  // the least time between two looks at a partition
	expiryAgain = time.Second            // pause after an error
	expiryLimit = 10 * time.Second       // timeout of one look
	expiryPage  = 100                    // ids that one script ends; few, since each minion of the queue adds to its time
)

func (x *expiry) init(b *Broker) {
	x.b = b
	x.next, x.busy = make(map[*keys]time.Time), make(map[*keys]bool)
	x.inboxes = make(map[*inbox]bool)
}

func (x *expiry) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	if x.timer != nil {
		x.timer.Stop()
	}
}

// expect notes that a task that this process has sent has a deadline, after the time in.
func (x *expiry) expect(k *keys, in time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.plan(k, in)
}

// learn notes the first deadline of a partition that a reply of the server has told. It is empty
// if there is none. now is the server's time; both are in ms.
func (x *expiry) learn(k *keys, first any, now int64) {
	at := toInt(first)
	if at == 0 {
		return
	}
	in := time.Duration(max(at-now, 0)) * time.Millisecond
	x.mu.Lock()
	defer x.mu.Unlock()
	x.plan(k, in+expiryLeave+rand.N(expiryLeave))
}

// plan schedules a look at a partition after the time in, unless an earlier one is scheduled.
// x.mu must be locked.
func (x *expiry) plan(k *keys, in time.Duration) {
	// Add a millisecond, because the server compares whole milliseconds.
	at := time.Now().Add(in + time.Millisecond)
	if old, ok := x.next[k]; ok && !at.Before(old) {
		return
	}
	x.next[k] = at
	x.arm()
}

// arm sets the timer to the first scheduled look. x.mu must be locked.
func (x *expiry) arm() {
	if x.closed {
		return
	}
	var first time.Time
	for k, at := range x.next {
		if !x.busy[k] && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	switch {
	case first.IsZero():
	case x.timer == nil:
		x.timer = time.AfterFunc(time.Until(first), x.ring)
	default:
		x.timer.Reset(time.Until(first))
	}
}

// ring is called by the timer. It looks at each partition that is scheduled by now in a goroutine
// of its own, so that a server that hangs delays only its own partitions.
func (x *expiry) ring() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	now := time.Now()
	for k, at := range x.next {
		if at.After(now) || x.busy[k] {
			continue
		}
		delete(x.next, k)
		x.busy[k] = true
		x.b.wg.Go(func() { x.look(k) })
	}
	x.arm()
}

// look ends the expired tasks of a partition, and schedules the next look.
func (x *expiry) look(k *keys) {
	ctx, cancel := context.WithTimeout(x.b.ctx, expiryLimit)
	defer cancel()
	left, err := x.expire(ctx, k)
	if err != nil && x.b.ctx.Err() == nil {
		x.b.logFailed(ctx, k, "end tasks whose deadlines have passed", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.busy, k)
	switch {
	case err != nil:
		x.plan(k, expiryAgain+rand.N(expiryAgain))
	case left > 0:
		x.plan(k, max(left, expiryGap))
	}
	x.arm() // arm skips busy partitions, so a look that was planned meanwhile is not on the timer yet
}

// expire ends the expired tasks of a partition, page by page. It returns the time until the next
// deadline; 0 if there is none.
func (x *expiry) expire(ctx context.Context, k *keys) (left time.Duration, err error) {
	ended, arrived := 0, false
	defer func() {
		if ended > 0 {
			x.b.log.Debug("redis: tasks expired while they waited", "queue", k.queue, "tasks", ended)
		}
		if arrived {
			x.tell(k)
		}
	}()
	for {
		reply, err := scriptOverdue.run(ctx, x.b, []string{k.deadlines, k.outbox, k.minions}, expiryPage)
		if err != nil {
			return 0, err
		}
		list := toList(reply)
		arrived = arrived || toInt(item(list, 2)) == 1
		if len(list) <= 3 {
			if first := toInt(item(list, 1)); first > 0 {
				left = time.Duration(max(first-toInt(item(list, 0)), 1)) * time.Millisecond
			}
			return left, nil
		}
		ids := make([]any, len(list)-3)
		for i := range ids {
			id := toID(list[3+i])
			ids[i] = id[:]
		}
		verdicts, made, err := x.b.expireIn(ctx, k, ids)
		arrived = arrived || made
		if err != nil {
			return 0, err
		}
		for _, v := range verdicts {
			if broker.CancelVerdict(toInt(v)) == broker.CancelPrevented {
				ended++
			}
		}
	}
}

// tell tells a minion of this process that a partition has arrivals. If the process has no minion
// it tells all inboxes, as an arbiter may wait here for the group or pipe, and can drive it.
func (x *expiry) tell(k *keys) {
	if x.b.tell(k) {
		return
	}
	x.b.arrived.add(k)
	x.mu.Lock()
	defer x.mu.Unlock()
	for in := range x.inboxes {
		in.tell()
	}
}

// open adds an inbox that is told of arrivals.
func (x *expiry) open(in *inbox) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.inboxes[in] = true
}

// shut removes an inbox.
func (x *expiry) shut(in *inbox) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.inboxes, in)
}
