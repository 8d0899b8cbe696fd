package redis

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// expiry ends tasks whose deadlines pass while they wait: for their time, for a slot,
// for other tasks, or for their next attempt. The deadlines of a queue are in a sorted
// set at the server, and any process that knows of one looks at the set when that has
// passed. A process knows of deadlines in four ways: it has sent such a task, it has
// looked up a task of the queue, a heartbeat of one of its minions tells of it, or a visit
// of all queues (see round.go). So somebody who waits is enough, no minion need serve the
// queue, and a queue without deadlines is never looked at. Who has sent a task looks at
// once. Others leave that process some time, so that not all of them do the same.
//
// Several processes may do it at once, and each may die at any line: an id stays in the
// set until the script that ends the task has run, and a task ends once.
type expiry struct {
	b *Broker

	mu      sync.Mutex
	next    map[*keys]time.Time // when a queue is to be looked at
	busy    map[*keys]bool      // queues that are being looked at
	timer   *time.Timer         // goes off at the first of next
	closed  bool
	inboxes map[*inbox]bool // that are told of arrivals where no minion is
}

const (
	expiryLeave = 250 * time.Millisecond // what others leave to who has sent a task; at most twice that
	expiryGap   = 50 * time.Millisecond  // between two looks at a queue
	expiryAgain = time.Second            // after an error
	expiryLimit = 10 * time.Second       // for one look
	expiryPage  = 100                    // ids that one script ends; it is short also with many minions
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

// expect notes that a task of this process has a deadline in a while.
func (x *expiry) expect(k *keys, in time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.plan(k, in)
}

// learn notes what the server has told: its first deadline in a queue (empty if there is
// none) and the time, both in ms.
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

// plan lets a queue be looked at in a while, or sooner if that was planned. x.mu is held.
func (x *expiry) plan(k *keys, in time.Duration) {
	// A millisecond more: the server compares whole ones.
	at := time.Now().Add(in + time.Millisecond)
	if old, ok := x.next[k]; ok && !at.Before(old) {
		return
	}
	x.next[k] = at
	x.arm()
}

// arm sets the timer to the first time at which something is to be done. x.mu is held.
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

// ring looks at the queues whose time has come, each in a goroutine of its own: a server
// that hangs keeps only its own queues.
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

// look ends what has expired in a queue, and plans the next look.
func (x *expiry) look(k *keys) {
	ctx, cancel := context.WithTimeout(x.b.ctx, expiryLimit)
	defer cancel()
	left, err := x.expire(ctx, k)
	if err != nil && x.b.ctx.Err() == nil {
		x.b.log.Warn("redis: can't end tasks whose deadlines have passed; will try again", "queue", k.queue, "error", err)
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
	x.arm() // a look that was planned meanwhile has not been: the queue was busy
}

// expire ends what has expired in a queue, page by page. It returns how long it is
// until the next deadline, 0 if there is none.
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

// tell tells of arrivals in a queue: a minion of this process, or, if there is none, those
// who may wait here for a flow.
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

func (x *expiry) open(in *inbox) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.inboxes[in] = true
}

func (x *expiry) shut(in *inbox) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.inboxes, in)
}
