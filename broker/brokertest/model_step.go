package brokertest

import (
	"errors"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// step carries one operation out on the broker and on the model, and compares both.
func (x *execution) step(o op) {
	for _, m := range x.living() {
		m.keep()
	}
	switch o.kind {
	case opEnqueue:
		t := &mtask{Task: o.task(x.rig, x.mail.id, x.flow, x.ruled), n: len(x.model.tasks) + 1}
		x.model.tasks = append(x.model.tasks, t)
		x.byID[t.ID] = t
		x.account.add("enqueue task %d on %s, delay %v, key %+v, kept for %v, dead for %v, member: %v, blocked: %v",
			t.n, t.Queue, t.Delay, t.Unique, t.Retention, t.DeadFor, !t.Flow.ID.IsZero(), t.Flow.Blocked)
		x.enqueue(t)
	case opDequeue:
		x.dequeue(x.minionOf(o.who), opNames[o.who], opQueues[o.n%len(opQueues)], 1+o.n/4%6)
	case opAdvance:
		d := x.Lease / 16 * []time.Duration{2, 4, 10, 22}[o.n%4] //nolint:durationcheck // numbers of sixteenths
		x.account.add("%v pass", d)
		x.pass(d, x.living()...)
	case opDie, opClose:
		x.leave(o)
	case opFree:
		x.freeKeys(o)
	case opSettle, opSteal, opStart:
		if len(x.hands) > 0 {
			h := x.hands[len(x.hands)-1-o.which%len(x.hands)]
			switch o.kind {
			case opSteal:
				x.steal(o, h)
			case opStart:
				x.startKey(h)
			default:
				x.settleHand(o, h)
			}
		}
	default:
		if len(x.model.tasks) > 0 {
			t := x.model.tasks[o.which%len(x.model.tasks)]
			map[opKind]func(op, *mtask){opRepeat: x.repeat, opCancel: x.cancelTask, opRequeue: x.requeue, opUnblock: x.unblock}[o.kind](o, t)
		}
	}
	x.compare()
	x.compareKeys()
}

// timed records the broker's time before and after an operation.
func (x *execution) timed(fn func()) {
	x.model.t0 = x.Now()
	fn()
	x.model.t1 = x.Now()
}

func (x *execution) must(err error) {
	if err != nil {
		x.Fatalf("%v", err)
	}
}

func (x *execution) living() []*minion {
	alive := []*minion{x.janitor}
	for _, m := range x.open {
		if m != nil {
			alive = append(alive, m)
		}
	}
	return alive
}

// minionOf returns the open minion with that number. It opens one if necessary.
func (x *execution) minionOf(who int) *minion {
	if x.open[who] == nil {
		x.open[who] = x.minion("a", "b")
	}
	return x.open[who]
}

// enqueue enqueues a task that is not stored.
func (x *execution) enqueue(t *mtask) {
	var err error
	x.timed(func() {})
	if x.model.blurred(t) {
		x.account.more(": left out, since a window ends about now")
		return
	}
	x.timed(func() { err = x.Broker.Enqueue(x.ctx, []*broker.Task{t.Task}) })
	how, holder := x.model.fateOf(t)
	switch how {
	case isRefused:
		x.account.more(": refused, task %d has the key", holder.n)
		x.duplicate(err, t.ID, holder.ID, t.Unique.Key)
		return
	case replacesHolder:
		x.account.more(": replaces task %d", holder.n)
	case waitsBehind:
		x.account.more(": waits behind task %d", holder.n)
	}
	x.must(err)
	if how == waitsBehind {
		t.attempt, t.first = 1, t.Task
	} else {
		x.model.store(t)
	}
	for _, old := range x.model.takeKey(t, how) {
		old.owner.isNotified(old.ID, time.Now())
	}
}

func (x *execution) repeat(o op, t *mtask) {
	if t.state == broker.StateUnknown {
		x.account.add("enqueue task %d again", t.n)
		x.enqueue(t)
		return
	}
	again := *t.first
	content := "the same"
	if o.n%3 == 0 {
		content = "other"
		again.Payload = append(slices.Clone(again.Payload), 'X')
	}
	var err error
	sure := !t.state.Final()
	if !sure {
		x.timed(func() {})
		if !x.model.ahead(t.ended.plus(max(t.keep(), broker.MinTombstone) - x.Lease)) {
			return // the broker may or may not have forgotten it
		}
		sure, _ = x.model.lives(t)
	}
	x.account.add("enqueue task %d again, %s content", t.n, content)
	x.timed(func() { err = x.Broker.Enqueue(x.ctx, []*broker.Task{&again}) })
	switch {
	case content == "the same":
		x.must(err)
	case sure || err != nil: // a tombstone may have the id only, so it can't compare the content
		x.duplicate(err, t.ID, t.ID, "")
	}
}

func (x *execution) dequeue(m *minion, name string, queues []string, max int) []*hand {
	x.account.add("%s takes up to %d of %v:", name, max, queues)
	var got []*hand
	for len(got) < max {
		var ds []*broker.Delivery
		var err error
		x.timed(func() { ds, err = m.Dequeue(x.ctx, queues, max-len(got), 0) })
		x.must(err)
		m.check(ds, queues, max-len(got))
		for _, d := range ds {
			t := x.byID[d.ID]
			x.account.more(" task %d (attempt %d)", t.n, d.Attempt)
			x.must(x.model.take(t, queues, m))
			if t.attempt == 0 { // requeued: any number that has not been used before
				for _, h := range x.hands {
					if h.task == t && h.Attempt >= d.Attempt {
						x.Fatalf("task %d was handed out as attempt %d after attempt %d", t.n, d.Attempt, h.Attempt)
					}
				}
				t.attempt = d.Attempt
			}
			x.attempt(d, t.attempt, t.retried, t.recoveries)
			if d.Canceled != t.killed {
				x.Fatalf("task %d was handed out with Canceled %v, want %v", t.n, d.Canceled, t.killed)
			}
			m.equals(d, t.Task)
			h := &hand{Delivery: d, to: m, task: t}
			x.hands = append(x.hands, h)
			got = append(got, h)
		}
		if len(ds) == 0 {
			break
		}
	}
	if len(got) < max {
		for _, queue := range queues {
			if t := x.model.available(queue); t != nil {
				x.Fatalf("Dequeue did not return task %d, which is pending", t.n)
			}
		}
	}
	return got
}

// owns reports whether the hand holds the current attempt.
func (h *hand) owns() bool {
	return h.task.state == broker.StateRunning && h.task.owner == h.to && h.task.attempt == h.Attempt
}

func (x *execution) settleHand(o op, h *hand) {
	s, word := o.settlement(h.to, h.Delivery)
	if h.done != nil && o.n >= 30 {
		s, word = *h.done, "as before"
	}
	x.account.add("settle attempt %d of task %d: %s", h.Attempt, h.task.n, word)
	var errs []error
	var err error
	x.timed(func() { errs, err = h.to.Settle(x.ctx, []broker.Settlement{s}) })
	if h.left {
		x.account.more(" (too late)")
		if h.done == nil && lost(errs, err) == nil { // otherwise it may be the repeat of an accepted settlement
			x.Fatalf("the settlement of a minion that has closed or died was accepted")
		}
		return
	}
	x.must(err)
	switch {
	case h.owns():
		x.must(errs[0])
		h.done = &s
		x.model.settle(h.task, s)
	case errs[0] != nil:
		x.is(errs[0], broker.ErrLeaseLost)
		yes, _ := x.model.lives(h.task)
		if last := h.task.settled; last != nil && last.Delivery == h.Delivery && word == "as before" && yes {
			x.Fatalf("the repeat of an accepted settlement was refused: %v", errs[0])
		}
	}
}

// steal lets a minion settle a task that another minion holds.
func (x *execution) steal(o op, h *hand) {
	m := x.minionOf(o.who)
	if m == h.to {
		return
	}
	s, word := o.settlement(m, h.Delivery)
	x.account.add("%s settles attempt %d of task %d, which it does not own: %s", opNames[o.who], h.Attempt, h.task.n, word)
	x.is(m.settled(s)[0], broker.ErrLeaseLost)
}

func (x *execution) cancelTask(_ op, t *mtask) {
	x.account.add("cancel task %d", t.n)
	var got broker.CancelVerdict
	x.timed(func() { got = x.cancel(t.ID)[0] })
	owner, marked := t.owner, t.killed
	want, more := x.model.cancel(t)
	x.account.more(": %s", got)
	if got != want && (!more || got != broker.CancelUnknown) {
		x.Fatalf("the verdict is %q, want %q", got, want)
	}
	if owner != nil && !marked {
		owner.isNotified(t.ID, time.Now())
	}
}

func (x *execution) requeue(_ op, t *mtask) {
	if _, ok := can[broker.Inspector](x.Broker); !ok {
		return
	}
	i := x.inspector()
	x.account.add("requeue task %d", t.n)
	var errs []error
	var err error
	x.timed(func() { errs, err = i.Requeue(x.ctx, []broker.ID{t.ID}) })
	x.must(err)
	if k := x.model.keys[t.place()]; k != nil && x.model.unsure(k.until) {
		return // whether the window of another task still holds the key is not known
	}
	end := t.ended.plus(t.DeadFor)
	dead := t.state == broker.StateFailed && t.DeadFor > 0
	holder := x.model.holder(t)
	held := errors.Is(errs[0], broker.ErrDuplicate)
	if errs[0] == nil || held {
		if !dead || x.model.passed(t.ended.plus(t.keep())) { // it may be listed as long as its outcome is stored
			x.Fatalf("Requeue of a task that is %s, and no dead letter, returned %v", t.state, errs[0])
		}
		if held != (holder != nil) {
			x.Fatalf("Requeue of a dead letter with the key %q returned %v", t.Unique.Key, errs[0])
		}
	}
	switch {
	case held:
		x.account.more(": refused, task %d has the key", holder.n)
		x.duplicate(errs[0], t.ID, holder.ID, t.Unique.Key)
	case errs[0] == nil:
		x.model.requeue(t)
	default:
		x.account.more(": %v", errs[0])
		x.is(errs[0], broker.ErrNotFound)
		if dead && x.model.ahead(end) {
			x.Fatalf("Requeue did not find a dead letter")
		}
	}
}

// leave closes a minion, or lets it die.
func (x *execution) leave(o op) {
	m := x.open[o.who]
	if m == nil {
		return
	}
	x.account.add("%s %s", opNames[o.who], map[opKind]string{opDie: "dies", opClose: "closes"}[o.kind])
	x.open[o.who] = nil
	var order []*mtask
	for _, h := range x.hands {
		if h.to == m {
			h.left = true
			if h.owns() {
				order = append(order, h.task)
			}
		}
	}
	held := x.model.held(m, order)
	var states []broker.State
	x.timed(func() {
		if o.kind == opClose {
			m.close()
			states = x.states(held)
			return
		}
		x.reap(x.living(), m)
		x.eventually("the tasks of the dead minion have returned", func() bool {
			beat(x.living()...)
			states = x.states(held)
			return !slices.Contains(states, broker.StateRunning)
		})
	})
	var back []*mtask
	for i, t := range held {
		switch {
		case t.killed && states[i] != broker.StatePending: // it is canceled, and perhaps no longer stored
			x.model.end(t, broker.StateCanceled, nil)
		case states[i] != broker.StatePending:
			x.Fatalf("task %d, which a closed or dead minion held, is %s", t.n, states[i])
		default:
			if back = append(back, t); o.kind == opDie {
				t.recoveries++
			}
		}
	}
	x.model.front(back...)
}

func (x *execution) states(tasks []*mtask) []broker.State {
	ids := make([]broker.ID, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	states := make([]broker.State, len(tasks))
	for i, st := range x.lookup(ids...) {
		states[i] = st.State
	}
	return states
}

// compare looks every task up and checks its status.
func (x *execution) compare() {
	ids := make([]broker.ID, len(x.model.tasks))
	for i, t := range x.model.tasks {
		ids[i] = t.ID
	}
	var sts []broker.Status
	x.timed(func() { sts = x.lookup(ids...) })
	for i, t := range x.model.tasks {
		x.must(x.model.status(t, sts[i]))
	}
}
