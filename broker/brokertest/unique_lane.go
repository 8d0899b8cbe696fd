package brokertest

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A task with a unique key and a lane: what becomes of the key does not depend on the lane, and a
// limit or a sequence is not lost when the key changes hands.
var uniqueLaneTests = []test{
	{"LaneReplacedInLine", laneReplacedInLine, needLanes},
	{"LaneReplacedInASequence", laneReplacedInSequence, needLanes},
	{"LaneReplacedWhileHeld", laneReplacedHeld, needLanes},
	{"LaneOfTheLatest", laneOfLatest, needLanes},
	{"LaneOfTheLatestInASequence", laneOfLatestInSequence, needLanes},
	{"LaneAndRequeue", laneKeyRequeued, needLanes | needInspector},
}

// limited gives a task a lane that uses the limit "l".
func limited(t *broker.Task) { lane(using("l"))(t) }

func laneReplacedInLine(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	first := r.task(limited)
	r.enqueue(first)
	d := m.gets(first)
	old, other := r.task(keyed("k"), limited), r.task(limited)
	r.enqueue(old, other)
	r.heldBy("k", old)
	// The new task has another lane, then none, then the same one again.
	by := r.task(keyed("k"), replacing, lane(using("l"), priority(9)))
	r.enqueue(by)
	r.replaced(old, by)
	plain := r.task(keyed("k"), replacing)
	r.enqueue(plain)
	r.replaced(by, plain)
	m.gets(plain)
	last := r.task(keyed("m"), limited)
	final := r.task(keyed("m"), limited, replacing)
	r.enqueue(last, final) // in one batch
	r.replaced(last, final)
	m.none()
	m.settle(m.succeed(d))
	m.next(other, final)
	m.none()
	r.inUse("l", 0)
	r.isFree("m")
}

func laneReplacedInSequence(r *rig) {
	m := r.minion()
	first, second := r.task(keyed("k"), lane(inSequence("s"))), r.task(lane(inSequence("s")))
	r.enqueue(first, second)
	m.settle(retry(m.gets(first), time.Hour)) // it keeps its turn
	m.none()
	by := r.task(keyed("k"), replacing, after(time.Hour))
	r.enqueue(by)
	r.replaced(first, by)
	// A replaced task that stands behind the one whose turn it is.
	third, fourth := r.task(keyed("l"), lane(inSequence("s"))), r.task(lane(inSequence("s")))
	r.enqueue(third, fourth)
	instead := r.task(keyed("l"), replacing, lane(inSequence("s")))
	r.enqueue(instead)
	r.replaced(third, instead)
	m.next(second, fourth, instead)
	m.none()
}

func laneReplacedHeld(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	old := r.task(keyed("k"), untilStart, limited)
	r.enqueue(old)
	d := m.gets(old)
	by := r.task(keyed("k"), replacing, limited)
	r.enqueue(by)
	m.none() // a consumer holds the old one, and with it the limit
	r.inUse("l", 1)
	m.settle(m.finish(d, broker.StateCanceled))
	m.next(by)
	r.inUse("l", 0)
	r.isFree("k")
}

func laneOfLatest(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	holds := func(t *broker.Task) *broker.Delivery {
		r.Helper()
		r.enqueue(t)
		return m.gets(t)
	}
	waits := func(with ...func(*broker.Task)) *broker.Task {
		r.Helper()
		next := r.task(append(with, keyed("k"), latest, limited)...)
		r.enqueue(next)
		r.in(broker.StateBlocked, next.ID)
		m.none()
		return next
	}
	taken := func(next *broker.Task) {
		r.Helper()
		r.inUse("l", 1)
		other := r.task(limited)
		r.enqueue(other)
		m.none()
		r.canceled(other.ID, broker.CancelPrevented)
		r.heldBy("k", next)
	}

	d := holds(r.task(keyed("k")))
	next := waits()
	m.settle(m.succeed(d))
	d = m.gets(next)
	taken(next)

	// The holder uses the limit, too, and a third task waits for it.
	third := r.task(limited)
	r.enqueue(third)
	next = waits()
	m.settle(m.succeed(d))
	m.next(third)
	d = m.gets(next)
	taken(next)
	m.settle(m.succeed(d))

	holder := r.task(keyed("k"), untilStart)
	r.enqueue(holder)
	d = m.gets(holder)
	r.pass(2*time.Millisecond, m)
	next = waits(maxAge(time.Millisecond)) // the holder is too old to be replaced
	r.startKey(d)
	other := m.gets(next)
	taken(next)
	m.settle(m.succeed(d), m.succeed(other))

	d = holds(r.task(keyed("k"), heldFor(time.Hour)))
	next = waits()
	r.free("k")
	other = m.gets(next)
	taken(next)
	m.settle(m.succeed(d), m.succeed(other))

	d = holds(r.task(keyed("k")))
	next = waits(after(100 * time.Millisecond))
	m.settle(m.succeed(d))
	d = m.gets(next)
	taken(next)
	m.settle(m.succeed(d))

	holder = r.task(keyed("k"), limited)
	d = holds(holder)
	next = waits()
	m.settle(retry(d, time.Hour))
	m.none()
	r.canceled(holder.ID, broker.CancelPrevented)
	d = m.gets(next)
	taken(next)
	m.settle(m.succeed(d))
	r.inUse("l", 0)
	r.isFree("k")
}

func laneOfLatestInSequence(r *rig) {
	m := r.minion()
	first := r.task(keyed("k"), lane(inSequence("s")))
	r.enqueue(first)
	d := m.gets(first)
	next, behind := r.task(keyed("k"), latest, lane(inSequence("s"))), r.task(lane(inSequence("s")))
	r.enqueue(next, behind)
	m.none()
	m.settle(m.succeed(d))
	// The one that waited for the key gets its place in line only now.
	m.next(behind, next)
	m.none()
	r.isFree("k")
}

func laneKeyRequeued(r *rig) {
	m := r.minion()
	r.define(broker.Limit{Name: "l", Most: 1})
	dead := r.task(keyed("k"), lane(using("l"), stopping("s")))
	r.enqueue(dead)
	m.settle(m.finish(m.gets(dead), broker.StateFailed))
	r.isFree("k")
	behind := r.task(lane(inSequence("s")))
	holder := r.task(keyed("k"), limited)
	r.enqueue(behind, holder)
	r.duplicate(requeued(r, dead.ID)[0], dead.ID, holder.ID, "k")
	m.next(holder)
	m.none() // the sequence is halted
	requeue(r, dead.ID)
	r.heldBy("k", dead)
	m.next(dead, behind)
	m.none()
	r.inUse("l", 0)
	r.isFree("k")
}
