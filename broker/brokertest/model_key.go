package brokertest

import (
	"fmt"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// mkey is the state of a unique key in the model. A window is the time Unique.For of a task; one that has ended, or that
// a task does not have, is the zero moment.
type mkey struct {
	holder    *mtask // nil if only a window holds the key
	next      *mtask // waits behind the holder
	since     moment
	own       moment // the end of the holder's window
	floor     moment // the end of an earlier holder's window
	nextSince moment
	nextOwn   moment
	until     moment // the end of all windows
	windowOf  *mtask // whose window ends last
}

// place names a key of a queue.
type place struct{ queue, key string }

func (t *mtask) place() place { return place{t.Queue, t.Unique.Key} }

// later returns the later one of two moments.
func later(a, b moment) moment {
	if a.to.After(b.to) {
		return a
	}
	return b
}

// unsure reports whether it is not known at the next operation if a moment has passed.
func (m *model) unsure(t moment) bool {
	return !t.to.IsZero() && !m.passed(t) && !m.ahead(t.plus(-4*m.slack))
}

// keyOf returns the state of a key, or nil if it is free.
func (m *model) keyOf(p place) *mkey {
	k := m.keys[p]
	if k != nil && k.holder == nil && !m.ahead(k.until) {
		delete(m.keys, p)
		return nil
	}
	return k
}

// blurred reports whether the answer to an enqueue of t depends on a moment that is about now.
func (m *model) blurred(t *mtask) bool {
	k := m.keys[t.place()]
	return t.Unique.Key != "" && k != nil &&
		(m.unsure(k.until) || m.unsure(k.floor) || m.unsure(k.own) || k.holder != nil && t.Unique.MaxAge > 0 && m.unsure(k.since.plus(t.Unique.MaxAge)))
}

// fate is what becomes of a new task.
type fate uint8

const (
	isStored fate = iota
	isRefused
	replacesHolder
	waitsBehind
)

// fateOf returns what becomes of a new task, and which task has its key.
func (m *model) fateOf(t *mtask) (fate, *mtask) {
	u := t.Unique
	k := m.keyOf(t.place())
	switch {
	case u.Key == "" || k == nil:
		return isStored, nil
	case k.holder == nil && u.OnConflict.Waits():
		return isStored, nil
	case k.holder == nil:
		return isRefused, k.windowOf
	case u.OnConflict == broker.ConflictRefuse:
		return isRefused, k.holder
	}
	h := k.holder
	waits := h.state != broker.StateRunning || h.Unique.UntilStart
	if young := u.MaxAge == 0 || m.ahead(k.since.plus(u.MaxAge)); waits && young {
		return replacesHolder, h
	}
	if u.OnConflict.Waits() {
		return waitsBehind, h
	}
	return isRefused, h
}

// takeKey gives a new task its key. The operation has succeeded. It returns the tasks that the new
// one has replaced while a minion held them.
func (m *model) takeKey(t *mtask, how fate) (running []*mtask) {
	if t.Unique.Key == "" {
		return nil
	}
	own := moment{}
	if t.Unique.For > 0 {
		own = m.now().plus(t.Unique.For)
	}
	k := m.keyOf(t.place())
	if how == waitsBehind {
		old := k.next
		if u := t.Unique; u.OnConflict == broker.ConflictCancel && k.holder.state == broker.StateRunning && (u.MaxAge == 0 || m.ahead(k.since.plus(u.MaxAge))) {
			running = m.replace(t, k.holder) // it keeps its key until it has ended
		}
		k.next, k.nextOwn = t, own
		t.state, t.behind = broker.StateBlocked, true
		t.due = m.now().plus(max(t.Delay, 0))
		if old == nil {
			k.nextSince = m.now()
			if own.to.After(k.until.to) {
				k.until, k.windowOf = own, t
			}
			return running
		}
		if rest := later(k.own, k.floor); !own.to.After(rest.to) {
			k.until, k.windowOf = rest, k.holder
		} else {
			k.until, k.windowOf = own, t
		}
		return append(running, m.replace(t, old)...)
	}
	var old []*mtask
	floor := moment{}
	switch {
	case k == nil:
		k = &mkey{since: m.now()}
		m.keys[t.place()] = k
	case how == replacesHolder:
		old = append(old, k.holder)
		if k.next != nil {
			old = append(old, k.next)
		}
		floor = k.floor
	default:
		k.since, floor = m.now(), k.until
	}
	if !m.ahead(floor) {
		floor = moment{}
	}
	k.holder, k.next, k.own, k.floor = t, nil, own, floor
	if k.until = later(own, floor); !k.until.to.IsZero() {
		k.windowOf = t
	}
	m.putOff(t, floor)
	return m.replace(t, old...)
}

// putOff lets a pending or scheduled task start no earlier than a moment.
func (m *model) putOff(t *mtask, floor moment) {
	if floor.to.IsZero() || t.state == broker.StateBlocked {
		return
	}
	if t.state == broker.StatePending {
		m.unqueue(t)
		t.due = moment{}
	}
	t.state, t.due = broker.StateScheduled, later(t.due, floor)
}

// unqueue removes a task from those that are ready.
func (m *model) unqueue(t *mtask) {
	m.ready[t.Queue] = slices.DeleteFunc(m.ready[t.Queue], func(o *mtask) bool { return o == t })
}

// replace ends tasks whose key another one has taken. It returns those that a minion holds.
func (m *model) replace(by *mtask, tasks ...*mtask) (running []*mtask) {
	for _, t := range tasks {
		if t.state == broker.StateRunning {
			if !t.killed {
				t.killed = true
				running = append(running, t)
			}
			continue
		}
		m.unqueue(t)
		t.behind = false
		m.end(t, broker.StateCanceled, nil)
		t.settled, t.replacedBy = nil, by
	}
	return running
}

// freeKey frees the key of a task that has ended or started.
func (m *model) freeKey(t *mtask) {
	k := m.keys[t.place()]
	switch {
	case t.Unique.Key == "" || k == nil:
	case k.next == t:
		k.next = nil
	case k.holder != t:
	case k.next != nil:
		m.promote(k, k.own)
	default:
		k.holder = nil
		if k.until.to.IsZero() {
			delete(m.keys, t.place())
		}
	}
}

// promote gives the key to the task that waits behind the holder.
func (m *model) promote(k *mkey, floor moment) {
	t := k.next
	if m.passed(floor) {
		floor = moment{}
	}
	k.holder, k.since, k.own, k.floor, k.next = t, k.nextSince, k.nextOwn, floor, nil
	t.behind = false
	if t.Delay <= 0 && floor.to.IsZero() {
		t.state = broker.StatePending
		m.ready[t.Queue] = append(m.ready[t.Queue], t)
		return
	}
	t.state, t.due = broker.StateScheduled, later(t.due, floor)
}

// retake gives a dead letter its key again, when it is requeued.
func (m *model) retake(t *mtask) {
	if t.Unique.Key == "" {
		return
	}
	k := m.keyOf(t.place())
	if k == nil {
		k = new(mkey)
		m.keys[t.place()] = k
	}
	k.holder, k.since, k.own, k.floor = t, m.now(), moment{}, moment{}
}

// free frees a key by order of an operator.
func (m *model) free(p place) {
	k := m.keyOf(p)
	if k == nil {
		return
	}
	if k.next == nil {
		delete(m.keys, p)
		return
	}
	m.promote(k, moment{})
	k.until, k.windowOf = k.own, k.holder
}

// checkKey checks the status of a key.
func (m *model) checkKey(p place, st broker.KeyStatus) error {
	k := m.keys[p]
	if k != nil && k.holder == nil && m.unsure(k.until) {
		return nil
	}
	k = m.keyOf(p)
	holder, next := broker.ID{}, broker.ID{}
	if k != nil {
		if k.holder != nil {
			holder = k.holder.ID
		} else {
			holder = k.windowOf.ID
		}
		if k.next != nil {
			next = k.next.ID
		}
	}
	if st.Holder != holder || st.Next != next {
		return fmt.Errorf("LookupKeys says that the key %q of queue %s belongs to %s and then to %s, want %s and %s", p.key, p.queue, st.Holder, st.Next, holder, next)
	}
	return nil
}

// startKey is the start of an attempt at a task that frees its key then.
func (x *execution) startKey(h *hand) {
	if !x.ruled || !h.task.Unique.UntilStart {
		return
	}
	x.account.add("task %d starts as attempt %d", h.task.n, h.Attempt)
	var err error
	x.timed(func() { err = x.uniques().StartKey(x.ctx, h.Delivery) })
	switch {
	case h.left || !h.owns():
		x.is(err, broker.ErrLeaseLost)
	case h.task.killed:
		x.is(err, broker.ErrCanceled)
	default:
		x.must(err)
		x.model.freeKey(h.task)
	}
}

// freeKeys frees a key by order of an operator.
func (x *execution) freeKeys(o op) {
	if !x.ruled {
		return
	}
	p := place{[]string{"a", "b"}[o.n%2], opKeys[len(opKeys)-1-o.who%2]}
	x.timed(func() {})
	if k := x.model.keys[p]; k != nil && (x.model.unsure(k.until) || x.model.unsure(k.nextOwn)) {
		return
	}
	x.account.add("free the key %q of queue %s", p.key, p.queue)
	x.timed(func() {
		_, err := x.uniques().FreeKeys(x.ctx, p.queue, []string{p.key})
		x.must(err)
	})
	x.model.free(p)
}

// compareKeys looks every key up and checks its status.
func (x *execution) compareKeys() {
	if !x.ruled {
		return
	}
	keys := opKeys[slices.IndexFunc(opKeys, func(k string) bool { return k != "" }):]
	for _, queue := range []string{"a", "b"} {
		var sts []broker.KeyStatus
		x.timed(func() {
			var err error
			sts, err = x.uniques().LookupKeys(x.ctx, queue, keys)
			x.must(err)
		})
		for i, key := range keys {
			x.must(x.model.checkKey(place{queue, key}, sts[i]))
		}
	}
}

// rule sets a rule for the key of a drawn task.
func (o op) rule(t *broker.Task, r *rig) {
	u := &t.Unique
	if u.Key == "" {
		return
	}
	u.OnConflict = []broker.Conflict{0, 0, broker.ConflictReplace, broker.ConflictReplace, broker.ConflictLatest, broker.ConflictCancel}[o.n/10]
	u.UntilStart = o.n/10%2 == 1
	switch {
	case o.which%5 == 0:
		u.For = times(5, r)
	case o.which%5 == 1 && u.OnConflict != broker.ConflictRefuse:
		u.MaxAge = times(3, r)
	}
	if u.OnConflict.Waits() {
		t.Flow = broker.TaskFlow{}
	}
}
