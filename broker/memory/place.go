package memory

import (
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// The place of a task in its queue depends on its state:
//
//	pending               queue.pending, or queue.lanes if it has a lane, or queue.pauses if it was set aside
//	scheduled, retrying   queue.scheduled
//	parked                queue.scheduled and queue.parked
//	blocked               queue.scheduled if it is blocked for a time only; otherwise none
//	running               the list of a holding: of one queue at one consumer
//	failed                queue.dead and queue.deadByEnd: a dead letter
//
// A change of state takes the record out of one place (detach) and puts it into another
// (pushBack, schedule, setOwner and so on).

// detach takes a record out of the place of its state. The caller puts it into another one
// at once.
func (q *queue) detach(r *record) {
	switch r.state {
	case broker.StatePending:
		switch {
		case r.aside:
			q.takeBack(r)
		case r.lane != nil:
			q.lanes.withdraw(r.lane)
		default:
			q.pending.Remove(r)
		}
	case broker.StateScheduled, broker.StateRetrying:
		q.scheduled.remove(r)
	case broker.StateParked:
		q.scheduled.remove(r)
		q.parked.remove(r)
	case broker.StateBlocked:
		if q.scheduled.has(r) {
			q.scheduled.remove(r)
		}
	case broker.StateRunning:
		h := r.holding
		h.list.Remove(r)
		if r.canceled {
			h.canceled--
		}
		r.holding = nil
		q.running--
		if r.lane != nil && len(r.lane.uses) > 0 {
			q.lanes.giveBack(r.lane)
		}
	case broker.StateFailed:
		q.dead.Remove(r)
		q.deadByEnd.remove(r)
	}
}

// pushLaned makes a detached record pending if it has a lane: it has its own place there.
func (q *queue) pushLaned(r *record) bool {
	r.state = broker.StatePending
	if r.lane == nil {
		return false
	}
	q.withLanes().enter(r.lane)
	return true
}

// pushBack makes a detached record pending, behind all pending ones without a lane.
func (q *queue) pushBack(r *record) {
	if !q.pushLaned(r) {
		q.pending.PushBack(r)
	}
}

// pushFront makes a detached record pending, in front of all pending ones without a lane.
func (q *queue) pushFront(r *record) {
	if !q.pushLaned(r) {
		q.pending.PushFront(r)
	}
}

// pushBehind makes a detached record without a lane pending behind another one, or in front
// of all if that one is nil or no longer in the list.
func (q *queue) pushBehind(before, r *record) {
	if before == nil || before.state != broker.StatePending || before.aside {
		q.pushFront(r)
		return
	}
	r.state = broker.StatePending
	q.pending.InsertAfter(before, r)
}

// schedule lets a detached record wait for its due time, in the given state.
func (q *queue) schedule(r *record, state broker.State, due instant) {
	r.state = state
	r.due.at = due
	r.seq = q.nextSeq()
	q.scheduled.add(r)
	q.alarm.set(due)
}

func (q *queue) nextSeq() uint64 {
	q.seq++
	return q.seq
}

// becomeDue makes a record pending whose due time has come, and which is no longer in
// queue.scheduled.
func (q *queue) becomeDue(r *record) {
	if r.state == broker.StateParked {
		q.parked.remove(r)
		r.overdue = true
	}
	q.pushBack(r)
	if r.overdue {
		q.addOverdue(r)
	}
}

// block lets a detached record wait for its release, and no longer than delay if that is
// positive.
func (q *queue) block(r *record, delay time.Duration, now instant) {
	r.state = broker.StateBlocked
	if delay > 0 {
		q.schedule(r, broker.StateBlocked, now.plus(delay))
	}
}

// setOwner gives a detached record to a holding, whose consumer becomes its owner.
func (q *queue) setOwner(r *record, h *holding) {
	r.state = broker.StateRunning
	r.holding = h
	h.list.PushBack(r)
	if r.canceled {
		h.canceled++
	}
	q.running++
}

// markCanceled records that a running task was cancelled.
func (q *queue) markCanceled(r *record) {
	if !r.canceled {
		r.canceled = true
		r.holding.canceled++
	}
}

// keepDead makes a detached record a dead letter, until its retention ends.
func (q *queue) keepDead(r *record, o *broker.Outcome, keep time.Duration, now instant) {
	r.state = broker.StateFailed
	r.due.at, r.seq = now.plus(keep), q.nextSeq()
	r.idUntil = now.plus(max(keep, broker.MinTombstone))
	r.outcome = copyOutcome(o)
	q.dead.PushBack(r)
	q.deadByEnd.add(r)
	q.alarm.set(r.due.at)
	q.b.reports.ended(q.b, r.id, 0)
}

// bury ends a detached record for good: a tombstone takes its place. A look-up finds the outcome
// until grave.visibleUntil.
func (q *queue) bury(r *record, grave tombstone, outcome []byte) {
	k := kept{queue: q.name, meta: r.meta(), outcome: outcome}
	if r.relabeled {
		q.metas.Drop(r)
	}
	grave.digest, grave.last = r.digest, r.last
	r.task, r.outcome = nil, nil
	q.live--
	q.b.index.bury(r.id, grave, k)
	q.b.reports.ended(q.b, r.id, max(grave.visibleUntil, 1))
}
