package client

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
	"github.com/go-arbiter/arbiter/internal/base/list"
	"github.com/go-arbiter/arbiter/internal/engine/title"
)

// The table holds the tasks that a client knows. The life of a task in it is usually:
//
//  1. expect: the task is about to be sent.
//  2. sent: the broker has stored it.
//  3. wait: somebody waits for it. Or nobody does, and the entry stays in the idle list, up to
//     a limit.
//  4. deliver: its outcome is pushed. Waiting goroutines get it; otherwise the entry keeps it
//     for take.
//
// Pushes can be lost, so a task that is waited for is also looked up from time to time: soon
// and often if another client sent it, because then it is not pushed here; rarely if this
// client sent it. The lists of entries that wait for a look-up are called levels. Each level
// has one pause, so its entries are in the order in which they are due. found stores the result
// of a look-up.
//
// An entry is in exactly one list, by what is to happen next:
//
//	idle           nobody waits: the outcome is here, or its push is awaited
//	levelNow       a look-up at once
//	levelForeign…  a look-up after 0.5, 1, 2, 2, … seconds: the task is pushed elsewhere
//	levelOwn…      a look-up after 3, 6, 12, 24, 30, 30, … seconds: only a lost push needs it
//	levelLossless  the push alone: the broker loses none
//
// A failure needs care. A dead letter can be requeued, so a failure that was pushed some time
// ago may not be the task's outcome any more. It is looked up before anybody gets it.

const (
	// Limits of the entries that are kept although nobody waits for them.
	maxIdle  = broker.MaxInbox // tasks
	maxBytes = 64 << 20        // bytes of their outcomes
)

// table holds the tasks that a client knows. An entry exists because the task was sent from
// here, or because somebody waits for it. Entries without a wait are bounded: the oldest are
// dropped, and a later wait for such a task begins with a look-up. Client.mu guards the table.
type table struct {
	entries entries
	labels  labels
	// idle has the entries that nobody waits for, the oldest first. levels has the entries that
	// somebody waits for, by the pause until their next look-up.
	idle   entryList
	levels [levelCount]entryList
	bytes  int // of the outcomes in idle

	lossless          bool // the broker loses no push
	maxIdle, maxBytes int  // the constants; tests set others
	// epoch is the time from which entry.due counts. It is zero until it is needed.
	epoch time.Time
}

// entry is one task in the table. There are many entries, so it is small, and has few pointers
// for the garbage collector to follow.
type entry struct {
	list.Links[entry]
	id     broker.ID
	label  *label        // name and queue; never nil
	record []byte        // the outcome, once it is here
	watch  *Watch        // the first wait for it
	more   *[]*Watch     // further waits; nil if there are none
	due    time.Duration // time of the next look-up, since table.epoch; only in a level

	sending int32        // submissions of it under way
	state   broker.State // as of the last look-up
	in      listID       // the list that it is in
	// own says that the task was sent from here, so its outcome is pushed here. shared says
	// that another client may have sent it before; then the outcome is pushed there.
	own    bool
	shared bool
	// doubt says that the push may be lost, or that record may belong to an older task with the
	// id. The task is looked up before a wait takes anything.
	doubt bool
	// missed says that a look-up has found no outcome. The push may still come.
	missed bool
	// newer says that since the last look-up was sent a wait has begun, or a failure has come.
	// Then the result of the look-up may be out of date.
	newer bool
}

// Completion is the end of a wait for one task.
type Completion struct { //nolint:recvcheck // it is a value until it is read
	ID      broker.ID
	Queue   string          // empty if it isn't known
	State   broker.State    // final, or StateUnknown if the broker knows no such task
	Outcome *broker.Outcome // nil if the task is unknown or its outcome isn't kept
	Own     bool            // the task was sent from this client
	name    string          // of the task; empty if it isn't known
	record  []byte          // the outcome, encoded, if it was not read yet
	bad     error           // why the record can't be read
}

const (
	// The levels of entries that somebody waits for. Each has its pause in pace; an entry that
	// is looked up and not done moves to the next level of its kind.
	levelNow     = iota // to be looked up at once
	levelForeign        // sent by other clients: only a look-up tells that such a task is done
	_
	levelForeignLast
	levelOwn // sent from here: a look-up is needed only if a push was lost
	_
	_
	_
	levelOwnLast
	levelLossless // pushed by a broker that loses no push: never looked up, see [broker.Follower]
	levelCount
)

// pace is the time from a look-up of an entry, or the beginning of its wait, to the next
// look-up.
var pace = [levelCount]time.Duration{
	0,
	500 * time.Millisecond, time.Second, 2 * time.Second,
	3 * time.Second, 6 * time.Second, 12 * time.Second, 24 * time.Second, 30 * time.Second,
	0,
}

// newTable returns an empty table.
func newTable() table {
	return table{maxIdle: maxIdle, maxBytes: maxBytes}
}

// expect notes that a task is about to be sent, so that its push finds an entry. again says
// that it may have been sent before: then its push may have come already. The result is for
// sentAs.
func (t *table) expect(id broker.ID, name, queue string, again bool, now time.Time) *entry {
	e, fresh := t.entries.enter(id)
	if fresh {
		t.put(e, listIdle)
	}
	// If the entry says that this client has sent the task before, no other client has.
	e.shared = again && (e.shared || !e.own)
	e.own, e.label = true, t.labels.get(name, queue)
	e.sending++
	// If the retention of the earlier task has ended, this is a new task, and a record in the
	// entry is the old one's.
	if again {
		e.doubt = true
		if e.watch != nil {
			t.move(e, levelNow, now)
		}
	}
	if fresh {
		t.trim()
	}
	return e
}

// sent ends the sending that expect began: the request is over. stored is false if the broker
// does not have the task.
func (t *table) sent(id broker.ID, stored bool, now time.Time) {
	t.sentAs(t.entries.get(id), id, stored, now)
}

// sentAs is sent for a caller that kept the result of expect, which saves finding the entry.
func (t *table) sentAs(e *entry, id broker.ID, stored bool, now time.Time) {
	if e != nil && e.id != id {
		// It was dropped meanwhile, but a wait may have made another one since.
		e = t.entries.get(id)
	}
	if e == nil {
		return
	}
	e.sending--
	switch {
	case stored || e.sending > 0 || e.record != nil:
	case e.watch == nil:
		t.drop(e)
	default:
		// A goroutine that knows the id waits for it, and is to learn soon that there is no
		// such task.
		e.own = false
		t.move(e, levelNow, now)
	}
}

// take returns the outcome of a task and drops the entry, if the outcome is here and need not
// be looked up first.
func (t *table) take(id broker.ID) (Completion, bool) {
	e := t.entries.get(id)
	if e == nil || e.record == nil || e.stale() || t.mayBeEffect(e.record) {
		return Completion{}, false
	}
	a := e.fromRecord(e.record)
	t.bytes -= recordSize(e.record)
	t.unlink(e)
	t.entries.drop(e)
	return a, true
}

// wait adds a wait for a task whose outcome take did not return.
func (t *table) wait(id broker.ID, w *Watch, now time.Time) {
	e, _ := t.entries.enter(id)
	e.newer = true
	if e.watch != nil {
		if e.more == nil {
			e.more = new([]*Watch)
		}
		*e.more = append(*e.more, w)
		return
	}
	e.watch, e.state = w, broker.StateUnknown
	// Only a task whose push is certainly still to come can wait. Any other is looked up at
	// once.
	if e.own && !e.doubt && !e.shared && e.record == nil {
		t.move(e, t.pushedLevel(levelOwn), now)
	} else {
		t.move(e, levelNow, now)
	}
}

// unwait removes a wait for a task. It does nothing if there is no such wait.
func (t *table) unwait(id broker.ID, w *Watch) {
	e := t.entries.get(id)
	if e == nil || e.watch == nil {
		return
	}
	// Further waits remain. One of them moves up if the first one ends.
	if more := e.more; more != nil {
		if e.watch == w {
			e.watch = (*more)[0]
			w = e.watch
		}
		*more = slices.DeleteFunc(*more, func(other *Watch) bool { return other == w })
		if len(*more) == 0 {
			e.more = nil
		}
		return
	}
	if e.watch != w {
		return
	}
	// Nobody waits any more. The outcome of an own task will be pushed in any case, so its
	// entry stays for it.
	e.watch = nil
	if !e.own {
		t.drop(e)
		return
	}
	t.unlink(e)
	t.put(e, listIdle)
	t.trim()
}

// deliver handles a pushed outcome. If somebody waits for the task, it gets the outcome at
// once, except for a failure of a task that may be requeued. The push takes time, so the wait
// may have begun after a requeue, and the failure may be the one before it. Neither the record
// nor a clock of this process can tell. So the failure is looked up first. The same holds for a
// failure that came before anybody waited. That costs one request for each batch of failures.
// If nobody waits, the entry keeps the record.
func (t *table) deliver(id broker.ID, record []byte, now time.Time) {
	e := t.entries.get(id)
	switch {
	case e == nil: // the entry was dropped
	case e.watch == nil: // it may have been pushed before; the last record counts
		t.keep(e, record)
	case requeueable(id, record) || t.mayBeEffect(record):
		t.keep(e, record)
		e.newer = true
		t.move(e, levelNow, now)
	default:
		t.finish(e, e.fromRecord(record))
	}
}

// requeueable reports whether an outcome may be the one of a dead letter, which an operator can
// requeue.
func requeueable(id broker.ID, record []byte) bool {
	return wire.ParseState(record) == broker.StateFailed && !IsFlow(id)
}

// mayBeEffect reports whether an outcome is a cancellation while failures are being looked up.
// The cancellation may be an effect of one of them, as it is for the rest of a pipe or group.
// It is looked up after them, so that nobody sees the effect before its cause.
func (t *table) mayBeEffect(record []byte) bool {
	return t.levels[levelNow].Len() > 0 && wire.ParseState(record) == broker.StateCanceled
}

// stale reports whether the record of an entry may not be the task's outcome any more: the task
// was sent again and may be a new one, or it has failed and may have been requeued.
func (e *entry) stale() bool {
	return e.doubt || requeueable(e.id, e.record)
}

// giveKept gives a watch the records of its tasks that came but could not be looked up before
// the wait ends.
func (t *table) giveKept(w *Watch) {
	for _, id := range w.ids {
		if e := t.entries.get(id); e != nil && e.record != nil && e.watch != nil {
			t.finish(e, e.fromRecord(e.record))
		}
	}
}

// forget drops the record of an entry.
func (t *table) forget(e *entry) {
	if e.record != nil {
		t.bytes -= recordSize(e.record)
		e.record = nil
	}
}

// keep stores the record of an outcome in an entry.
func (t *table) keep(e *entry, record []byte) {
	t.forget(e)
	e.record = record
	t.bytes += recordSize(record)
	t.trim()
}

// found handles the result of a look-up.
func (t *table) found(id broker.ID, st *broker.Status, now time.Time) {
	e := t.entries.get(id)
	if e == nil || e.watch == nil {
		return
	}
	e.state = st.State
	e.label = t.labels.learn(e.label, st)
	final := st.State.Final()
	switch {
	case e.newer && (e.record != nil || st.State == broker.StateFailed && !IsFlow(id)):
		// The result may be the failure before a requeue, and somebody who knew of the requeue
		// has begun to wait since; or the look-up is older than the record. Look again.
		t.move(e, levelNow, now)
	case final && st.Outcome != nil:
		if e.own && e.in.level() >= levelOwn {
			t.doubtPushes() // a push that should have come has not
		}
		t.finish(e, e.fromStatus(st.State, st.Outcome))
	case e.record != nil && (final || st.State == broker.StateUnknown):
		// The record is all that anybody keeps of the outcome.
		t.finish(e, e.fromRecord(e.record))
	case final || st.State == broker.StateUnknown: // no outcome is kept, or it can't be read
		switch {
		case e.sending > 0: // it will be known soon
			t.move(e, levelForeign, now)
		case e.own && !e.missed:
			// An outcome with no retention at all is only in the push, which may still come.
			e.missed = true
			t.move(e, levelForeign, now)
		default:
			a := e.fromStatus(st.State, nil)
			if st.Err != nil {
				a.bad = fmt.Errorf("%s: its record in the broker can't be read: %w", title.Of(id, a.name), st.Err)
			}
			t.finish(e, a)
		}
	default:
		t.forget(e) // a record, if any, is not the outcome any more
		e.doubt, e.missed = false, false
		t.step(e, now)
	}
}

// step moves an entry that isn't done to the next level.
func (t *table) step(e *entry, now time.Time) {
	first, last := levelForeign, levelForeignLast
	if e.own && !e.shared {
		first, last = levelOwn, levelOwnLast
	}
	level := first
	if was := e.in.level(); was >= first && was <= last {
		level = min(was+1, last)
	}
	t.move(e, t.pushedLevel(level), now)
}

// pushedLevel returns level for a task whose outcome is pushed, or levelLossless if no push can
// be lost.
func (t *table) pushedLevel(level int) int {
	if t.lossless {
		return levelLossless
	}
	return level
}

// move puts an entry into a level, to be looked up after the level's pause.
func (t *table) move(e *entry, level int, now time.Time) {
	if t.epoch.IsZero() {
		t.epoch = now
	}
	t.unlink(e)
	e.due = now.Add(pace[level]).Sub(t.epoch)
	t.put(e, listLevel0+listID(level))
}

// doubtPushes marks all entries whose push has not come, so that the next wait for each begins
// with a look-up.
func (t *table) doubtPushes() {
	for e := range t.idle.All() {
		e.doubt = e.doubt || e.record == nil
	}
}

// gap handles a notice that pushes may have been lost: entries without an outcome become
// doubtful, and tasks that somebody waits for are looked up at once.
func (t *table) gap(now time.Time) {
	t.doubtPushes()
	for level := levelNow + 1; level < levelCount; level++ {
		for e := range t.levels[level].All() {
			t.move(e, levelNow, now)
		}
	}
}

// due appends up to n ids to look up now. If timed is false, it returns only ids of levelNow.
func (t *table) due(ids []broker.ID, n int, now time.Time, timed bool) []broker.ID {
	until := now.Sub(t.epoch)
	for level := range levelLossless {
		if level > levelNow && !timed {
			break
		}
		for e := range t.levels[level].All() {
			if len(ids) == n || e.due > until {
				break
			}
			ids, e.newer = append(ids, e.id), false
		}
	}
	return ids
}

// nextDue returns the time of the next look-up, if there is one.
func (t *table) nextDue() (at time.Time, ok bool) {
	for level := range levelLossless {
		e := t.levels[level].First()
		if e == nil {
			continue
		}
		if due := t.epoch.Add(e.due); !ok || due.Before(at) {
			at, ok = due, true
		}
	}
	return at, ok
}

// finish gives a completion to all waits for a task, and drops the entry.
func (t *table) finish(e *entry, a Completion) {
	e.watch.put(a)
	if e.more != nil {
		for _, w := range *e.more {
			w.put(a)
		}
	}
	t.drop(e)
}

// drop removes an entry. The caller must not use it any more.
func (t *table) drop(e *entry) {
	t.forget(e)
	t.unlink(e)
	t.entries.drop(e)
}

// trim drops the oldest idle entries beyond the limits.
func (t *table) trim() {
	for t.idle.Len() > 0 && (t.idle.Len() > t.maxIdle || t.bytes > t.maxBytes) {
		t.drop(t.idle.First())
	}
}

// fromRecord returns a completion with a record that is not parsed yet.
func (e *entry) fromRecord(record []byte) Completion {
	return Completion{ID: e.id, Queue: e.label.Queue, Own: e.own, name: e.label.Name, record: record}
}

// fromStatus returns a completion with the result of a look-up.
func (e *entry) fromStatus(state broker.State, o *broker.Outcome) Completion {
	a := Completion{ID: e.id, Queue: e.label.Queue, Own: e.own, name: e.label.Name, State: state, Outcome: o}
	a.addName()
	return a
}

// With returns the completion with an outcome that was found in another way.
func (a Completion) With(o *broker.Outcome) Completion {
	a.State, a.Outcome, a.record, a.bad = o.State, o, nil, nil
	a.addName()
	return a
}

// read parses the record, if there is one that was not parsed yet.
func (a *Completion) read() {
	if a.record == nil || a.Outcome != nil || a.bad != nil {
		return
	}
	o, err := wire.ParseOutcome(a.record)
	if err != nil {
		a.bad = fmt.Errorf("%s: its outcome can't be read: %w", title.Of(a.ID, a.name), err)
		return
	}
	a.State, a.Outcome = o.State, &o
	a.addName()
}

// addName adds the name of the task, if it is known here, to an outcome without a name: a
// broker need not parse the record of a task that it cancels.
func (a *Completion) addName() {
	if a.Outcome != nil && a.Outcome.Name == "" {
		a.Outcome.Name = a.name
	}
}

// recordSize is about the memory that an entry with an outcome takes.
func recordSize(record []byte) int { return 256 + len(record) }

// restore puts back a completion that nobody has used.
func (t *table) restore(a Completion) {
	if !a.Own || t.entries.get(a.ID) != nil {
		return
	}
	record := bytes.Clone(a.record)
	if record == nil {
		if a.Outcome == nil {
			return
		}
		record = wire.AppendOutcome(nil, a.Outcome)
	}
	e, _ := t.entries.enter(a.ID)
	e.label, e.own = t.labels.get(a.name, a.Queue), a.Own
	t.put(e, listIdle)
	t.keep(e, record)
}
