package memory

import (
	"github.com/go-arbiter/arbiter/broker"
)

// record is one task in the broker. The index finds it by its id, and its queue changes it.
// It is in at most one list or heap, which depends on its state. A task that is blocked
// without a time, and a final task that is no dead letter, are in none.
//
// The values that task and outcome point to are never changed. So a pointer that was read
// with a lock may be used without it, and data that leaves the broker is copied (see
// clone.go).
type record struct {
	id     broker.ID
	queue  *queue // never changes
	digest uint32 // never changes

	// Guarded by queue.mu.
	state       broker.State
	canceled    bool
	overdue     bool   // it was parked until its time was over
	afresh      bool   // the next attempt, or the one that runs, follows a failure
	flowCounted bool   // its flow has counted it before, and it was requeued since
	attempt     uint32 // number of the next attempt while the task waits, else of the last one
	unstarted   uint32 // number of attempts that were given back before a handler was started
	retried     int32
	recoveries  int32
	strikes     int32 // how many of the recoveries came after a recorded start
	started     bool  // the start of this attempt was recorded
	last        settled
	heapIndex   int32   // index in its heap; -1 if it is in none
	at          instant // the key in its heap: when it is due, or ends as a dead letter
	seq         uint64  // the order among equal keys, and among dead letters
	deadline    instant
	prev, next  *record         // neighbors in its list
	holding     *holding        // the owner while it runs
	task        *broker.Task    // nil once it is no longer needed
	outcome     *broker.Outcome // set once it is final, if it is kept

	entry *entry // its entry in the shard; nil once the entry is a tombstone or was removed; guarded by shard.mu

	// Written with queue.mu and shard.mu held, so reading needs only one of them. Both are
	// never while the task is not final.
	visibleUntil instant // until when the outcome can be found
	idUntil      instant // when the id may be used again
}

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

// visible reports whether the task can still be found by a look-up.
func (r *record) visible(now instant) bool { return now < r.visibleUntil }

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

// list is a doubly linked list of records. The links are in the records, so each record can
// be removed at once.
type list struct {
	head, tail *record
	n          int
}

func (l *list) pushBack(r *record) {
	r.prev, r.next = l.tail, nil
	if l.tail != nil {
		l.tail.next = r
	} else {
		l.head = r
	}
	l.tail = r
	l.n++
}

func (l *list) pushFront(r *record) {
	r.prev, r.next = nil, l.head
	if l.head != nil {
		l.head.prev = r
	} else {
		l.tail = r
	}
	l.head = r
	l.n++
}

// insert puts r behind a record of the list.
func (l *list) insert(before, r *record) {
	if before.next == nil {
		l.pushBack(r)
		return
	}
	r.prev, r.next = before, before.next
	before.next.prev, before.next = r, r
	l.n++
}

func (l *list) remove(r *record) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		l.head = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		l.tail = r.prev
	}
	r.prev, r.next = nil, nil
	l.n--
}
