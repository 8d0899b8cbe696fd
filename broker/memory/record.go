package memory

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/list"
)

// record is one task that is not over, or a dead letter. The index finds it by its id, and
// its queue changes it. It is in one list or timeline of the queue at most, which depends on
// its state; a task that is blocked without a time is in none. When the task is over, a
// tombstone takes the place of the record in the index.
//
// The values that task and outcome point to are never changed. So a pointer that was read
// with a lock may be used without it, and data that leaves the broker is copied (see
// clone.go).
type record struct {
	list.Links[record]
	id     broker.ID
	queue  *queue // never changes
	digest uint32 // never changes

	// Guarded by queue.mu.
	state       broker.State
	canceled    bool
	overdue     bool            // it was parked until its time was over
	afresh      bool            // the next attempt, or the one that runs, follows a failure
	flowCounted bool            // its flow has counted it before, and it was requeued since
	started     bool            // the start of this attempt was recorded
	relabeled   bool            // queue.metas has the metadata of its enqueue
	aside       bool            // it is pending, and was set aside because it is paused
	behind      bool            // it is blocked because it waits behind the holder of its unique key
	attempt     uint32          // number of the next attempt while the task waits, else of the last one
	unstarted   uint32          // number of attempts that were given back before a handler was started
	retried     int32           // number of retries
	recoveries  int32           // number of deaths of its consumers
	strikes     int32           // how many of the recoveries came after a recorded start
	last        settled         // the last settlement
	due         moment          // when it becomes pending, or ends as a dead letter
	deadline    moment          // never if it has none
	seq         uint64          // the order among equal times, and among dead letters
	holding     *holding        // the owner while it runs
	lane        *laned          // nil if the task has no lane
	task        *broker.Task    // nil once the task is over
	outcome     *broker.Outcome // of a dead letter
	saved       *saved          // its steps and signals; nil if it has none
	idUntil     instant         // when the id may be used again; set for a dead letter
}

// recordList is a list of records.
type recordList = list.List[record, *record]

// settled identifies the last accepted settlement of a task, so that a repeated one is
// recognised.
type settled struct {
	by      uint32 // consumer.number
	attempt uint32
	kind    uint8 // verb and state; see settlementKind
}

// settlementKind encodes the verb of a settlement and its final state.
func settlementKind(s *broker.Settlement) uint8 {
	m := uint8(s.Verb) << 4
	if s.Verb == broker.VerbFinish {
		m |= uint8(s.Outcome.State)
	}
	return m
}

// start returns the number of the start that the current attempt may become.
func (r *record) start() uint32 { return r.attempt - r.unstarted }

// starts returns the number of starts, including the attempt that runs.
func (r *record) starts() uint32 {
	if r.waits() {
		return r.start() - 1
	}
	return r.start()
}

// nextAttempt counts an attempt that was given back.
func (r *record) nextAttempt(unstarted bool) {
	r.attempt++
	r.started = false
	if unstarted {
		r.unstarted++
	}
}

// waits reports whether the task waits, so that a cancel ends it at once.
func (r *record) waits() bool {
	switch r.state {
	case broker.StatePending, broker.StateScheduled, broker.StateRetrying, broker.StateBlocked, broker.StateParked:
		return true
	}
	return false
}
