package memory

import (
	"math/bits"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
)

// A pending task with a lane waits in queue.lanes, which is nil as long as nothing of a lane
// is stored. The structure follows from what the hand-out asks for:
//
//   - A class has the tasks with one priority and the same limits (lane_class.go). They all
//     need the same, so they wait for the same.
//   - A class has a line for each key of fairness, and a line has its tasks in the order of
//     their submission.
//   - Of a sequence only the task that may run now is in a line. The others wait in the
//     sequence (lane_sequence.go).
//   - A class is open, or it waits for one limit (lane_limit.go).
//
// The hand-out picks a priority, and there the line that has the next turn. If one of its limits
// is exhausted, its class is put to those that wait for this limit, and the next line is picked.
// So a class is looked at once, and not again before its limit has room.
//
// # Limits
//
// Classes that wait for a limit are in waitlists, one for each priority and cost. When the
// limit has room, the list is open: its classes are tried like open ones, until the limit is
// exhausted again. It may turn out that another limit of a class is exhausted. The class then
// goes to the waitlist of that one. So no limit has room while a class waits that needs nothing
// else.
//
// # Costs
//
// A hand-out costs O(log n) for n tasks, if the classes have either few lines or many; see pool in
// lane_pool.go. A limit that has room again costs as much for each priority and each different
// cost of the tasks that wait for it.
//
// # Fairness
//
// The keys of a priority take turns by start-time fair queueing. Each key has the virtual time
// of its next turn. The key with the smallest one comes next, and its time then grows by a
// step, which is smaller for a larger weight. The time of the turn that was taken last is the
// present. A key that had no task begins one step after the present. A key whose limits were
// exhausted for long has a time in the past: it comes first then, and its next turn counts
// from the present. So a key gains nothing by waiting or by leaving.
//
// A key may have lines in several classes. Its turns are the same for all of them.

// lanes has the tasks with lanes of one queue, and what belongs to them. It is guarded by the
// lock of the queue.
type lanes struct {
	q   *queue
	now instant // the latest time of an operation

	waiting int // number of pending tasks
	opened  int // number of open classes and open waitlists
	levels  [broker.MaxPriority + 1]level
	plain   plainTurn
	since   int // hand-outs since the last one of a lower priority, while one waited
	lower   int // the priority of that one

	classes   shrinkmap.Map[string, *class]
	sequences shrinkmap.Map[string, *sequence]
	limits    map[string]*limit
	weights   map[string]int
	times     ranked[account, *account] // accounts that change at a known time
	name      []byte                    // memory for the name of a class
}

// plainTurn has the turns of the tasks without a lane, which are in queue.pending. They are
// like one more key of the default priority.
type plainTurn struct {
	time   uint64 // the virtual time of the next turn
	active bool   // there was one at the last hand-out
}

// laned is the part of a record that only a task with a lane has.
type laned struct {
	r        *record
	position uint64    // its place in the order of submission; 0 until it is pending for the first time
	line     *line     // while it waits there
	sequence *sequence // while it waits there or holds it
	uses     []use     // what the attempt that runs has taken
	index    int32
}

func (t *laned) before(other *laned) bool { return t.position < other.position }
func (t *laned) place() *int32            { return &t.index }

// withLanes returns the lanes of the queue. It makes them if necessary.
func (q *queue) withLanes() *lanes {
	if q.lanes == nil {
		q.lanes = &lanes{q: q, now: q.b.clock.now(), limits: map[string]*limit{}, weights: map[string]int{}}
	}
	return q.lanes
}

// newLaned returns the part of a record for the lane of its task, or nil if the task has none.
func newLaned(r *record) *laned {
	if r.task.Lane == nil {
		return nil
	}
	return &laned{r: r}
}

// empty reports whether nothing is stored.
func (x *lanes) empty() bool {
	return x.classes.Len() == 0 && x.sequences.Len() == 0 && len(x.limits) == 0 && len(x.weights) == 0
}

// tick notes the time, and lets out what has waited for it.
func (x *lanes) tick(now instant) {
	x.now = max(x.now, now)
	for a := x.times.first(); a != nil && a.wake <= x.now; a = x.times.first() {
		x.refresh(a)
	}
}

// next returns when something changes.
func (x *lanes) next() instant {
	if a := x.times.first(); a != nil {
		return a.wake
	}
	return never
}

// enter lets a task wait that is pending from now on.
func (x *lanes) enter(t *laned) {
	x.waiting++
	if t.position == 0 {
		t.position = x.q.nextSeq()
	}
	if name := t.r.task.Lane.Sequence; name != "" {
		s := x.sequence(name)
		t.sequence = s
		if s.holder != t {
			s.waiting.add(t)
			x.advance(s)
			return
		}
	}
	x.join(t)
}

// withdraw takes a pending task out of the place where it waits. The caller says then what
// becomes of it: it is handed out, ends, or is blocked.
func (x *lanes) withdraw(t *laned) {
	x.waiting--
	if t.line == nil {
		t.sequence.waiting.remove(t)
		return
	}
	x.leave(t)
	if s := t.sequence; s != nil && s.next == t {
		s.next = nil
	}
}

// takeLaned hands out tasks with and without lanes in the order of broker.Lane, until the page
// is full.
func (h *holding) takeLaned(p *page) {
	q, x := h.q, h.q.lanes
	n := min(p.most-len(p.out), q.pending.Len()+x.waiting)
	p.slabs.deliveries.Left, p.slabs.bytes.Left = n, n
	x.notePlain()
	for !p.full() {
		level, ready := x.choose()
		if level < 0 {
			return
		}
		if x.takeFrom(h, p, level) {
			x.count(level, ready)
		}
	}
}

// notePlain begins the turns of the tasks without a lane, if there was none before.
func (x *lanes) notePlain() {
	has := x.q.pending.Len() > 0
	if has && !x.plain.active {
		x.plain.time = x.levels[broker.DefaultPriority].now + stepOf(1)
	}
	x.plain.active = has
}

// choose returns the priority that is to be tried next, or -1 if there is nothing to hand out.
// It also returns the set of priorities that have open classes.
func (x *lanes) choose() (priority int, ready uint16) {
	for p := range x.levels {
		if x.levels[p].ready() {
			ready |= 1 << p
		}
	}
	if x.q.pending.Len() > 0 {
		ready |= 1 << broker.DefaultPriority
	}
	top := bits.Len16(ready) - 1
	if top < 0 {
		return -1, 0
	}
	lower := ready &^ (1 << top)
	if lower == 0 || x.since < broker.LowerShare-1 {
		return top, ready
	}
	if below := lower & (1<<x.lower - 1); below != 0 {
		lower = below
	}
	return bits.Len16(lower) - 1, ready
}

// count counts a hand-out, so that lower priorities get their share.
func (x *lanes) count(level int, ready uint16) {
	top := bits.Len16(ready) - 1
	switch {
	case level != top:
		x.since, x.lower = 0, level
	case ready != 1<<top && x.since < broker.LowerShare:
		x.since++
	}
}

// takeFrom tries the task of a priority whose turn it is. It reports whether the task was
// handed out. Otherwise there is one open class, open waitlist or pending task less.
func (x *lanes) takeFrom(h *holding, p *page, priority int) bool {
	q, lv := x.q, &x.levels[priority]
	l, turn := lv.next()
	if priority == broker.DefaultPriority && q.pending.Len() > 0 && (l == nil || x.plain.time <= turn.time) {
		given := h.handOut(q.pending.First(), p)
		if given {
			lv.serve(&x.plain.time, 1)
		}
		x.plain.active = q.pending.Len() > 0
		return given
	}
	c, t := l.class, l.tasks.first()
	if q.halted(t.r) {
		q.blockHalted(t.r)
		return false
	}
	if q.pauses.names(t.r.task) {
		q.setAside(t.r)
		return false
	}
	if w := c.list; w != nil && w.account.freeAt(w.cost) > x.now {
		x.shut(w)
		x.watch(w.account)
		return false
	}
	if u := c.lacks(x.now); u != nil {
		x.wait(c, u)
		return false
	}
	x.charge(t, c)
	lv.serve(&l.key.time, x.weight(l.key.name))
	q.detach(t.r)
	if s := t.sequence; s != nil {
		s.holder = t
	}
	q.setOwner(t.r, h)
	p.add(t.r)
	return true
}
