package memory

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

var _ broker.Uniques = (*Broker)(nil)

// A queue has a uniqueKey for each unique key that is held. A task holds its key until it is
// final, or with UntilStart until it starts; then the key is dropped, unless a window holds it:
// the time Unique.For of a task. A task with ConflictLatest or ConflictCancel can wait behind the holder. It is
// blocked, and takes the key when the holder would free it.

// uniqueKey is the state of a unique key. The queue is locked.
type uniqueKey struct {
	holder *record // nil if only a window holds the key
	since  instant // when the holder, or the first in a series of tasks that replaced each other, was enqueued
	own    instant // the end of the holder's own window; 0 if it has none
	floor  instant // the end of an earlier holder's window, before which the holder must not start; 0 is none

	next      *record // the task that waits behind the holder, or nil
	nextSince instant // like since
	nextOwn   instant // like own

	until    instant   // until when windows hold the key; 0 if no window does
	windowOf broker.ID // the task whose window ends last
	name     string    // the name of that task
}

// keyOf returns the state of a key, or nil if the key is free.
func (q *queue) keyOf(key string, now instant) *uniqueKey {
	k, _ := q.unique.Get(key)
	if k != nil && k.holder == nil && k.until <= now { // it has not been swept yet
		q.unique.Drop(key)
		return nil
	}
	return k
}

// windowEnd returns the end of a task's window that begins now, or 0.
func windowEnd(t *broker.Task, now instant) instant {
	if t.Unique.For == 0 {
		return 0
	}
	return now.plus(t.Unique.For)
}

// setWindow sets until when windows hold the key.
func (k *uniqueKey) setWindow(end instant, of *record) {
	k.until = end
	if end > 0 {
		k.windowOf, k.name = of.id, of.task.Name
	}
}

// conflict is what becomes of a new task whose key may have a holder.
type conflict uint8

const (
	keyIsFree conflict = iota // the task takes the key
	replaces                  // the task takes the key from the holder, which ends
	waitsFor                  // the task waits behind the holder
	isOver                    // the task has ended, and its window holds the key: a repeated call
	isRefused
)

// conflictOf decides what becomes of a new task with a key.
func (k *uniqueKey) conflictOf(r *record, now instant) conflict {
	u := &r.task.Unique
	switch {
	case k == nil:
		return keyIsFree
	case k.holder == nil && k.windowOf == r.id:
		return isOver
	case u.OnConflict == broker.ConflictRefuse:
		return isRefused
	case k.holder == nil:
		if u.OnConflict.Waits() {
			return keyIsFree // it is scheduled until the window is over
		}
		return isRefused
	case k.holder.replaceable() && k.young(u, now):
		return replaces
	case u.OnConflict.Waits():
		return waitsFor
	}
	return isRefused
}

// young reports whether the holder of a key is not too old to be replaced or cancelled.
func (k *uniqueKey) young(u *broker.Unique, now instant) bool {
	return u.MaxAge == 0 || now-k.since <= instant(u.MaxAge)
}

// replaceable reports whether the holder of a key has not started. A task that a consumer holds
// may have started, unless it is a task that frees its key at the start, and has not freed it.
func (r *record) replaceable() bool {
	return r.waits() || r.state == broker.StateRunning && r.task.Unique.UntilStart
}

// duplicate returns the error for a task whose key another one has.
func (k *uniqueKey) duplicate(r *record) error {
	e := &broker.DuplicateError{ID: r.id, Holder: k.windowOf, Key: r.task.Unique.Key, Name: k.name}
	if k.holder != nil {
		e.Holder, e.Name = k.holder.id, k.holder.task.Name
	}
	return e
}

// conflictEffects is what is to be done for the tasks that new ones have replaced, once no
// queue is locked. It is zero if there are none.
type conflictEffects struct {
	notices noticeBatch
	any     bool
	running []replacedTask
	orphans map[*queue]struct{} // queues with arrivals of replaced members of flows
}

// replacedTask is a task that was replaced while a consumer held it.
type replacedTask struct {
	owner *consumer
	id    broker.ID
}

// deliver tells everybody who has to know.
func (fx *conflictEffects) deliver(b *Broker) {
	if !fx.any {
		return
	}
	fx.notices.deliver(b)
	for _, t := range fx.running {
		t.owner.cfg.OnCancel(t.id)
	}
	for q := range fx.orphans {
		b.tellOrphans(q)
	}
}

// takeKey gives a new task its key, as decided, and puts it into its place. k is the state of
// the key, nil if it is free.
func (q *queue) takeKey(r *record, k *uniqueKey, how conflict, now instant, fx *conflictEffects) {
	own := windowEnd(r.task, now)
	if how == waitsFor {
		q.queueBehind(r, k, own, now, fx)
		if u := &r.task.Unique; u.OnConflict == broker.ConflictCancel && k.holder.state == broker.StateRunning && k.young(u, now) {
			q.stop(k.holder, fx)
		}
		return
	}
	var old, next *record
	floor := instant(0)
	switch {
	case k == nil:
		k = &uniqueKey{since: now}
		q.unique.Put(r.task.Unique.Key, k)
	case how == replaces:
		old, next, floor = k.holder, k.next, k.floor
	default: // the window of a task that has ended
		k.since, floor = now, k.until
	}
	if floor <= now {
		floor = 0
	}
	k.holder, k.own, k.floor = r, own, floor
	k.next = nil
	k.setWindow(max(own, floor), r)
	q.place(r, max(now.plus(max(r.task.Delay, 0)), floor), now)
	q.replace(old, r, now, fx)
	q.replace(next, r, now, fx)
}

// queueBehind lets a new task wait behind the holder of its key.
func (q *queue) queueBehind(r *record, k *uniqueKey, own, now instant, fx *conflictEffects) {
	old := k.next
	k.next, k.nextOwn = r, own
	r.state, r.behind = broker.StateBlocked, true
	r.due.at = now.plus(max(r.task.Delay, 0))
	if old == nil {
		k.nextSince = now
		if own > k.until {
			k.setWindow(own, r)
		}
		return
	}
	// The window of the task that it replaces ends.
	if rest := max(k.own, k.floor); rest >= own {
		k.setWindow(rest, k.holder)
	} else {
		k.setWindow(own, r)
	}
	q.replace(old, r, now, fx)
}

// place puts a new task that has its key into the place of its state. Due is when it may start.
func (q *queue) place(r *record, due, now instant) {
	switch {
	case r.task.Flow.Blocked:
		q.block(r, r.task.Delay, now)
	case due > now:
		q.schedule(r, broker.StateScheduled, due)
	default:
		q.pushBack(r)
	}
}

// begin prepares the effects.
func (fx *conflictEffects) begin(b *Broker) {
	if !fx.any {
		fx.any, fx.notices = true, newNoticeBatch(b, 1)
	}
}

// stop cancels a task that a consumer holds, and tells the consumer.
func (q *queue) stop(r *record, fx *conflictEffects) {
	fx.begin(q.b)
	q.markCanceled(r)
	if c := r.holding.c; c.cfg.OnCancel != nil {
		fx.running = append(fx.running, replacedTask{c, r.id})
	}
}

// replace ends a task, unless it is nil, whose key or whose place behind the holder another one
// has taken.
func (q *queue) replace(old, by *record, now instant, fx *conflictEffects) {
	if old == nil {
		return
	}
	if old.state == broker.StateRunning {
		q.stop(old, fx)
		return
	}
	fx.begin(q.b)
	q.dropFor(old, by, now, &fx.notices)
	if q.orphan(old.id) {
		if fx.orphans == nil {
			fx.orphans = make(map[*queue]struct{})
		}
		fx.orphans[q] = struct{}{}
	}
}

// freeKey frees the key of a task that has ended or starts. A task that waits behind it takes
// the key.
func (q *queue) freeKey(r *record, now instant) {
	key := r.task.Unique.Key
	k, _ := q.unique.Get(key)
	switch {
	case k == nil:
	case k.next == r:
		k.next, r.behind = nil, false
	case k.holder != r: // an operator has freed the key, or another task has replaced this one
	case k.next != nil:
		q.promote(k, k.own, now)
	case k.until > now:
		k.holder = nil
		q.b.windows.add(q, key, k.until)
	default:
		q.unique.Drop(key)
	}
}

// promote gives the key to the task that waits behind the holder. It does not start before the
// time floor.
func (q *queue) promote(k *uniqueKey, floor, now instant) {
	r := k.next
	if floor <= now {
		floor = 0
	}
	k.holder, k.since, k.own, k.floor = r, k.nextSince, k.nextOwn, floor
	k.next, r.behind = nil, false
	q.place(r, max(r.due.at, floor), now)
}

// retakeKey gives a dead letter that is requeued its key again, or returns the error that says
// which task has it.
func (q *queue) retakeKey(r *record, now instant) error {
	key := r.task.Unique.Key
	if key == "" {
		return nil
	}
	k := q.keyOf(key, now)
	if k != nil && (k.holder != nil || k.windowOf != r.id) {
		return k.duplicate(r)
	}
	if k == nil {
		k = new(uniqueKey)
		q.unique.Put(key, k)
	}
	k.holder, k.since, k.own, k.floor = r, now, 0, 0
	return nil
}

// StartKey frees the key of a task that starts; see [broker.Uniques].
func (b *Broker) StartKey(ctx context.Context, d *broker.Delivery) error {
	now, err := b.enter(ctx)
	if err != nil {
		return err
	}
	r, _ := b.index.lock(d.ID, now)
	if r == nil {
		return lost(d)
	}
	q := r.queue
	defer q.unlock()
	switch {
	case r.state != broker.StateRunning || r.attempt != d.Attempt || r.holding.c.id != d.Minion || r.holding.c.ended.Load():
		return lost(d)
	case r.canceled:
		return fmt.Errorf("task %s %s: %w", d.Name, d.ID, broker.ErrCanceled)
	case r.task.Unique.UntilStart:
		q.freeKey(r, now)
	}
	return nil
}

// LookupKeys returns the states of keys; see [broker.Uniques].
func (b *Broker) LookupKeys(ctx context.Context, name string, keys []string) ([]broker.KeyStatus, error) {
	return b.eachKey(ctx, name, keys, func(*queue, string, *uniqueKey, instant) {})
}

// FreeKeys frees keys; see [broker.Uniques].
func (b *Broker) FreeKeys(ctx context.Context, name string, keys []string) ([]broker.KeyStatus, error) {
	return b.eachKey(ctx, name, keys, func(q *queue, key string, k *uniqueKey, now instant) {
		if k.next == nil {
			q.unique.Drop(key)
			return
		}
		q.promote(k, 0, now)
		k.setWindow(k.own, k.holder)
	})
}

// eachKey calls visit for each key that is held, and returns the states before that.
func (b *Broker) eachKey(ctx context.Context, name string, keys []string, visit func(*queue, string, *uniqueKey, instant)) ([]broker.KeyStatus, error) {
	now, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	if err := broker.CheckName("queue", name); err != nil {
		return nil, err
	}
	out := make([]broker.KeyStatus, len(keys))
	for i, key := range keys {
		out[i].Key = key
	}
	b.naming.RLock()
	defer b.naming.RUnlock()
	q := b.known(name)
	if q == nil {
		return out, nil
	}
	q.lock(now)
	defer q.unlock()
	for i, key := range keys {
		if k := q.keyOf(key, now); k != nil {
			k.status(&out[i], &b.clock, now)
			visit(q, key, k, now)
		}
	}
	return out, nil
}

// status fills in the status of a key.
func (k *uniqueKey) status(st *broker.KeyStatus, c *clock, now instant) {
	if k.until > now {
		st.Holder, st.Until = k.windowOf, c.wall(k.until)
	}
	if k.holder != nil {
		st.Holder, st.Since = k.holder.id, c.wall(k.since)
	}
	if k.next != nil {
		st.Next = k.next.id
	}
}

// windows are the keys that only windows hold, by when these end. A key is free from then on;
// the sweeper removes what is left of it.
type windows struct {
	mu     sync.Mutex
	expiry expiryQueue[windowKey]
}

type windowKey struct {
	q   *queue
	key string
}

// add lets the sweeper look at a key when its window has ended.
func (w *windows) add(q *queue, key string, end instant) {
	w.mu.Lock()
	w.expiry.add(end, windowKey{q, key})
	next := w.expiry.next()
	w.mu.Unlock()
	q.b.sweeper.alarm.set(next)
}

// forgetWindows removes keys whose windows have ended. It looks at up to n keys. It returns how
// many it has looked at, and when more are due.
func (b *Broker) forgetWindows(now instant, n int) (done int, next instant) {
	w := &b.windows
	w.mu.Lock()
	due := w.expiry.take(now, n)
	next = w.expiry.next()
	w.mu.Unlock()
	for _, one := range due {
		one.q.lock(now)
		one.q.keyOf(one.key, now) // drops it if it is free
		one.q.unlock()
	}
	return len(due), next
}
