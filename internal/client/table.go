package client

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// How much a client keeps of what nobody waits for.
const (
	maxIdle  = broker.MaxInbox // tasks sent and not awaited, arrived or not
	maxBytes = 64 << 20        // of their outcomes
)

// table is what a client knows of tasks. An entry is there because the task was
// sent from here or because somebody waits for it. Those that nobody waits for
// are bounded: the oldest are forgotten, and who asks for one later gets it by a
// look-up. Those that somebody waits for are in one of the levels, each of
// which is looked up again after a time of its own; so all entries of a level
// are in the order in which they are due.
type table struct {
	entries directory
	kinds   kinds
	idle    list // nobody waits for them; the oldest first
	levels  [levelCount]list
	bytes   int // of the outcomes in idle

	still             bool // pushes are not lost
	maxIdle, maxBytes int
	epoch             time.Time // what times in entries count from; zero before there is one
}

// entry is one task. There are many, so it is small, and has few pointers for the
// garbage collector to follow.
type entry struct {
	id         broker.ID
	of         *kind         // never nil
	record     []byte        // of the outcome, once it has arrived
	watch      *Watch        // the first of those who wait
	more       *[]*Watch     // the others; nil if there are none
	due        time.Duration // of the next look-up, from the table's epoch; of those in a level
	prev, next *entry

	sending int32        // submissions under way
	state   broker.State // what the last look-up found
	in      shelf
	slot    uint8 // in its page
	own     bool  // sent from here: its outcome is pushed
	shared  bool  // perhaps first sent from elsewhere, and pushed there
	doubt   bool  // its push may have come and gone, or is that of an older task: look it up before waiting
	missed  bool  // a look-up has found no outcome, the push may still be on its way
	newer   bool  // a wait has begun, or a failure has come, since the last look-up was sent
}

// Arrival is the end of a wait for one task.
type Arrival struct {
	ID      broker.ID
	Queue   string          // empty if it isn't known
	State   broker.State    // final, or StateUnknown if there is no such task
	Outcome *broker.Outcome // nil if the task is unknown or its outcome isn't kept
	Own     bool            // it was sent from here
	name    string          // of the task; empty if it isn't known
	record  []byte          // of an outcome that was not read yet
	bad     error           // why it can't be read
}

const (
	levelNow     = iota
	levelForeign // what others sent: nothing tells us but looking
	_
	levelForeignLast
	levelOwn // what was sent from here: only a lost push makes this necessary
	_
	_
	_
	levelOwnLast
	levelStill // what is pushed by a broker that loses nothing; see [broker.Follower]
	levelCount
)

var pace = [levelCount]time.Duration{
	0,
	500 * time.Millisecond, time.Second, 2 * time.Second,
	3 * time.Second, 6 * time.Second, 12 * time.Second, 24 * time.Second, 30 * time.Second,
	0,
}

func newTable() table {
	return table{maxIdle: maxIdle, maxBytes: maxBytes}
}

// expect notes a task that is about to be sent. Again says that it was sent
// before, perhaps: its push may have come already. It returns what sentAs is to be told.
func (t *table) expect(id broker.ID, name, queue string, again bool, now time.Time) *entry {
	e, fresh := t.entries.enter(id)
	if fresh {
		t.put(e, shelfIdle)
		t.trim()
	}
	e.shared = again && (e.shared || !e.own)
	e.own, e.of = true, t.kinds.of(name, queue)
	e.sending++
	if again { // if its time was over it is a new task, and a record is the old one's
		e.doubt = true
		if e.watch != nil {
			t.move(e, levelNow, now)
		}
	}
	return e
}

// sent ends what expect began.
func (t *table) sent(id broker.ID, stored bool, now time.Time) {
	t.sentAs(t.entries.get(id), id, stored, now)
}

// sentAs is sent for who knows what expect returned.
func (t *table) sentAs(e *entry, id broker.ID, stored bool, now time.Time) {
	if e != nil && e.id != id { // it has gone meanwhile; somebody may have asked for it since
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
	default: // somebody got hold of the id, and shall learn soon that it is none
		e.own = false
		t.move(e, levelNow, now)
	}
}

// take returns the outcome of a task that has arrived, and forgets it, unless it is to be
// looked up first.
func (t *table) take(id broker.ID) (Arrival, bool) {
	e, at := t.entries.find(id)
	if e == nil || e.record == nil || e.stale() || t.behind(e.record) {
		return Arrival{}, false
	}
	a := e.arrival(e.record)
	t.bytes -= recordSize(e.record)
	t.unlink(e)
	t.entries.removeAt(e, at)
	return a, true
}

// wait adds w to those who wait for a task that has not arrived.
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
	if e.own && !e.doubt && !e.shared && e.record == nil {
		t.move(e, t.patient(levelOwn), now)
	} else {
		t.move(e, levelNow, now)
	}
}

// unwait takes w from those who wait for a task.
func (t *table) unwait(id broker.ID, w *Watch) {
	e := t.entries.get(id)
	if e == nil || e.watch == nil {
		return
	}
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
	e.watch = nil
	if !e.own {
		t.drop(e)
		return
	}
	t.unlink(e)
	t.put(e, shelfIdle)
	t.trim()
}

// deliver takes the record of a pushed outcome, and keeps it until somebody asks for it.
// Whoever waits for the task gets it at once, unless it may be requeued: a push takes its
// time, so the wait may have begun after the task was requeued, and the failure be the one
// of before. Neither the record nor a clock of this process can tell. So such a failure is
// looked up first, as one is that came before anybody waited. That costs a request for
// each batch of failures that arrive.
func (t *table) deliver(id broker.ID, record []byte, now time.Time) {
	e := t.entries.get(id)
	switch {
	case e == nil: // forgotten
	case e.watch == nil: // perhaps it was pushed before; the last one counts
		t.keep(e, record)
	case requeueable(id, record) || t.behind(record):
		t.keep(e, record)
		e.newer = true
		t.move(e, levelNow, now)
	default:
		t.finish(e, e.arrival(record))
	}
}

// requeueable reports whether an outcome may be that of a dead letter, which an operator
// can requeue.
func requeueable(id broker.ID, record []byte) bool {
	return broker.ParseState(record) == broker.StateFailed && !IsFlow(id)
}

// behind reports whether an outcome is a cancellation that may be the effect of a failure
// which is being looked up, as it is for the rest of a pipe or group. It is looked up
// behind that, so that nobody sees the effect before its cause.
func (t *table) behind(record []byte) bool {
	return t.levels[levelNow].first != nil && broker.ParseState(record) == broker.StateCanceled
}

// stale reports whether what has arrived of a task may not be its outcome any more: it
// was sent again, and is perhaps a new task; or it has failed, and was perhaps requeued.
func (e *entry) stale() bool {
	return e.doubt || requeueable(e.id, e.record)
}

// settle lets a watch have what has arrived of its tasks, and could not be looked up.
func (t *table) settle(w *Watch) {
	for _, id := range w.ids {
		if e := t.entries.get(id); e != nil && e.record != nil && e.watch != nil {
			t.finish(e, e.arrival(e.record))
		}
	}
}

// forget drops the record of an outcome.
func (t *table) forget(e *entry) {
	if e.record != nil {
		t.bytes -= recordSize(e.record)
		e.record = nil
	}
}

// keep keeps the record of an outcome that nobody waits for.
func (t *table) keep(e *entry, record []byte) {
	t.forget(e)
	e.record = record
	t.bytes += recordSize(record)
	t.trim()
}

// found takes what a look-up says of a task.
func (t *table) found(id broker.ID, st *broker.Status, now time.Time) {
	e := t.entries.get(id)
	if e == nil || e.watch == nil {
		return
	}
	e.state = st.State
	e.of = t.kinds.learn(e.of, st)
	final := st.State.Final()
	switch {
	case e.newer && (e.record != nil || st.State == broker.StateFailed && !IsFlow(id)):
		// What was found may be the failure of before a requeue that somebody knew of who
		// has begun to wait meanwhile; or the answer is older than the record. Look again.
		t.move(e, levelNow, now)
	case final && st.Outcome != nil:
		if e.own && e.in.level() >= levelOwn {
			t.mistrust() // a push that should have come has not
		}
		t.finish(e, e.known(st.State, st.Outcome))
	case e.record != nil && (final || st.State == broker.StateUnknown): // what has come is all that is kept
		t.finish(e, e.arrival(e.record))
	case final || st.State == broker.StateUnknown: // or it can't be read
		switch {
		case e.sending > 0: // it will be known soon
			t.move(e, levelForeign, now)
		case e.own && !e.missed:
			// What is kept for no time at all is only in the push.
			e.missed = true
			t.move(e, levelForeign, now)
		default:
			a := e.known(st.State, nil)
			if st.Err != nil {
				a.bad = fmt.Errorf("%s: what the broker keeps of it can't be read: %w", task.Title(id, a.name), st.Err)
			}
			t.finish(e, a)
		}
	default:
		t.forget(e) // it is not the outcome any more
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
	t.move(e, t.patient(level), now)
}

// patient returns the level of what is pushed: one that comes again, unless no push is
// lost.
func (t *table) patient(level int) int {
	if t.still {
		return levelStill
	}
	return level
}

func (t *table) move(e *entry, level int, now time.Time) {
	if t.epoch.IsZero() {
		t.epoch = now
	}
	t.unlink(e)
	e.due = now.Add(pace[level]).Sub(t.epoch)
	t.put(e, shelfLevel+shelf(level))
}

// mistrust lets whoever asks next for something that has not arrived look it up
// first.
func (t *table) mistrust() {
	for e := t.idle.first; e != nil; e = e.next {
		e.doubt = e.doubt || e.record == nil
	}
}

// gap makes everything doubtful whose push may have been lost, and what is
// awaited due at once.
func (t *table) gap(now time.Time) {
	t.mistrust()
	for level := levelNow + 1; level < levelCount; level++ {
		for e := t.levels[level].first; e != nil; e = t.levels[level].first {
			t.move(e, levelNow, now)
		}
	}
}

// due appends the ids to look up now, up to n. Timed says whether those whose
// time has come are asked for too, or only those that can't wait.
func (t *table) due(ids []broker.ID, n int, now time.Time, timed bool) []broker.ID {
	until := now.Sub(t.epoch)
	for level := range levelStill {
		if level > levelNow && !timed {
			break
		}
		for e := t.levels[level].first; e != nil && len(ids) < n && e.due <= until; e = e.next {
			ids, e.newer = append(ids, e.id), false
		}
	}
	return ids
}

// nextDue returns when the next look-up is due, if one is.
func (t *table) nextDue() (at time.Time, ok bool) {
	for level := range levelStill {
		e := t.levels[level].first
		if e == nil {
			continue
		}
		if due := t.epoch.Add(e.due); !ok || due.Before(at) {
			at, ok = due, true
		}
	}
	return at, ok
}

func (t *table) finish(e *entry, a Arrival) {
	e.watch.put(a)
	if e.more != nil {
		for _, w := range *e.more {
			w.put(a)
		}
	}
	t.drop(e)
}

// drop removes an entry. The caller does not use it again.
func (t *table) drop(e *entry) {
	t.forget(e)
	t.unlink(e)
	t.entries.remove(e)
}

func (t *table) trim() {
	for t.idle.first != nil && (t.idle.len > t.maxIdle || t.bytes > t.maxBytes) {
		t.drop(t.idle.first)
	}
}

// arrival returns the arrival of a record that nobody has read yet.
func (e *entry) arrival(record []byte) Arrival {
	return Arrival{ID: e.id, Queue: e.of.Queue, Own: e.own, name: e.of.Name, record: record}
}

// known returns the arrival of what a look-up has found.
func (e *entry) known(state broker.State, o *broker.Outcome) Arrival {
	a := Arrival{ID: e.id, Queue: e.of.Queue, Own: e.own, name: e.of.Name, State: state, Outcome: o}
	a.entitle()
	return a
}

// With returns the arrival with an outcome that was found elsewhere.
func (a Arrival) With(o *broker.Outcome) Arrival {
	a.State, a.Outcome, a.record, a.bad = o.State, o, nil, nil
	a.entitle()
	return a
}

// read reads the record, if there is one that was not read yet.
func (a *Arrival) read() {
	if a.record == nil || a.Outcome != nil || a.bad != nil {
		return
	}
	o, err := broker.ParseOutcome(a.record)
	if err != nil {
		a.bad = fmt.Errorf("%s: its outcome can't be read: %w", task.Title(a.ID, a.name), err)
		return
	}
	a.State, a.Outcome = o.State, &o
	a.entitle()
}

// entitle gives an outcome that came without a name the one that is known here: a
// broker need not open the record of a task that it cancels.
func (a *Arrival) entitle() {
	if a.Outcome != nil && a.Outcome.Name == "" {
		a.Outcome.Name = a.name
	}
}

// recordSize is about what an entry with an outcome takes in memory.
func recordSize(record []byte) int { return 256 + len(record) }

// restore puts back an arrival that nobody has used.
func (t *table) restore(a Arrival) {
	if !a.Own || t.entries.get(a.ID) != nil {
		return
	}
	record := bytes.Clone(a.record)
	if record == nil {
		if a.Outcome == nil {
			return
		}
		record = broker.AppendOutcome(nil, a.Outcome)
	}
	e, _ := t.entries.enter(a.ID)
	e.of, e.own = t.kinds.of(a.name, a.Queue), a.Own
	t.put(e, shelfIdle)
	t.keep(e, record)
}
