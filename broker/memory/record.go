package memory

import (
	"github.com/go-arbiter/arbiter/broker"
)

// record is one task in the broker. The index leads from its id to it; its
// queue decides what happens to it. It is in one place at most, which its state
// names: only what is blocked for good, or final and no dead letter, is in none.
//
// What task and outcome point to is never written again: who has read the
// pointer under a lock may go on reading without, and whoever hands any of it
// out makes a copy (see clone.go).
type record struct {
	id     broker.ID
	queue  *queue // never changes
	digest uint32 // never changes

	// Guarded by queue.mu.
	state      broker.State
	canceled   bool
	overdue    bool   // it was parked until its time was over
	afresh     bool   // the next attempt, or the one that runs, follows a failure
	counted    bool   // its flow has its arrival; it was requeued since
	attempt    uint32 // of the next attempt while the task waits, else of the last one
	unstarted  uint32 // how many attempts were given back before a handler was started
	retried    int32
	recoveries int32
	strikes    int32 // of these, after how many a start had been recorded
	started    bool  // the start of this attempt is recorded
	last       settled
	slot       int32   // in a timeline; -1 if in none
	at         instant // by which a timeline orders: when it is due, or ends as a dead letter
	seq        uint64  // among equals, and among dead letters
	deadline   instant
	prev, next *record         // in a list
	hold       *hold           // while running: whose it is
	task       *broker.Task    // nil once it is of no more use
	outcome    *broker.Outcome // once final, if it is kept

	entry *entry // in its shard, nil once that has no place for it any more; guarded by shard.mu

	// Written with queue.mu and shard.mu held, so read with either of them. Both
	// are never while the task isn't final.
	kept      instant // until when the outcome is there to see
	forgotten instant // when the id may be used again
}

// settled is the last settlement of a task that was accepted, so that the same
// one again is recognised.
type settled struct {
	by      uint32 // consumer.number
	attempt uint32
	as      uint8 // see manner
}

// manner tells settlements of one attempt apart.
func manner(s *broker.Settlement) uint8 {
	m := uint8(s.Verb) << 4
	if s.Verb == broker.VerbFinish {
		m |= uint8(s.Outcome.State)
	}
	return m
}

// visible reports whether the task is there for those who ask.
func (r *record) visible(now instant) bool { return now < r.kept }

// start returns the number of the start that the attempt may become.
func (r *record) start() uint32 { return r.attempt - r.unstarted }

// starts returns how many starts there were, with that of the attempt that runs.
func (r *record) starts() uint32 {
	if r.waits() {
		return r.start() - 1
	}
	return r.start()
}

// returned counts an attempt that is given back.
func (r *record) returned(unstarted bool) {
	r.attempt++
	r.started = false
	if unstarted {
		r.unstarted++
	}
}

// waits reports whether the task is one that cancel prevents.
func (r *record) waits() bool {
	switch r.state {
	case broker.StatePending, broker.StateScheduled, broker.StateRetrying, broker.StateBlocked, broker.StateParked:
		return true
	}
	return false
}

// list is a list of records that runs through the records themselves, so that
// each can leave it at once.
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

// insert puts r behind another record of the list.
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
