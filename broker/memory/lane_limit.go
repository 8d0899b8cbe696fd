package memory

import (
	"math"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
)

// limit has the definitions of one name, and an account for each key that is in use. It
// exists while it has one of them.
type limit struct {
	name     string
	rules    map[string]*rule // by key
	accounts shrinkmap.Map[string, *account]
	largest  uint32 // the largest cost of its tasks so far
}

// rule is a definition.
type rule struct {
	broker.Limit
	step  float64 // of a rate: nanoseconds in which a cost of 1 is free again
	burst float64
}

// account counts what is used of a limit with one key. It exists while a class or a running
// task uses it, and while the past still matters: until a rate has recovered, and until
// CloseLimit is over.
type account struct {
	limit  *limit
	key    string
	rule   *rule // the definition that holds for it; nil if there is none
	refs   int   // classes and running tasks that use it
	inUse  uint64
	closed instant // until when CloseLimit has closed it

	// full is when all of the burst is free again: the theoretical arrival time of the generic
	// cell rate algorithm. It counts in the step of the rule that held then.
	full point
	step float64

	lists []*waitlist // none is empty
	wake  instant     // when it changes by itself, while it is in lanes.times
	index int32
}

func (a *account) before(other *account) bool { return a.wake < other.wake }
func (a *account) place() *int32              { return &a.index }

// waitlist has the classes of one priority that wait for the same cost of an account. It is
// open, and in level.lists, while there may be room for that.
type waitlist struct {
	account  *account
	priority uint8
	cost     uint32
	pool     pool
	turn     turn // while it is open: the turn of its first line when it was last looked at; never a later one
	index    int32
}

func (w *waitlist) before(other *waitlist) bool { return w.turn.before(other.turn) }
func (w *waitlist) place() *int32               { return &w.index }

// account returns the account of a limit and key. It makes it if necessary.
func (x *lanes) account(name, key string) *account {
	l := x.limit(name)
	a, ok := l.accounts.Get(key)
	if !ok {
		a = &account{limit: l, key: key, rule: l.rule(key), full: point{at: longAgo}}
		l.accounts.Put(key, a)
	}
	return a
}

// limit returns the limit with a name. It makes it if necessary.
func (x *lanes) limit(name string) *limit {
	l := x.limits[name]
	if l == nil {
		l = &limit{name: name, rules: map[string]*rule{}}
		x.limits[name] = l
	}
	return l
}

// rule returns the definition that holds for a key, or nil.
func (l *limit) rule(key string) *rule {
	if own := l.rules[key]; own != nil {
		return own
	}
	return l.rules[""]
}

// waitlist returns the list for a priority and a cost. It makes it if necessary.
func (a *account) waitlist(priority uint8, cost uint32) *waitlist {
	for _, w := range a.lists {
		if w.priority == priority && w.cost == cost {
			return w
		}
	}
	w := &waitlist{account: a, priority: priority, cost: cost}
	a.lists = append(a.lists, w)
	return w
}

// dropList forgets a list, which is empty.
func (a *account) dropList(w *waitlist) {
	at := slices.Index(a.lists, w)
	a.lists = slices.Delete(a.lists, at, at+1)
}

// freeAt returns when there is room for a cost: a time that has passed if there is room now,
// and never if that depends on other things than the time.
func (a *account) freeAt(cost uint32) instant {
	switch r := a.rule; {
	case r == nil:
		return a.closed
	case r.Paused, r.Most > 0 && a.inUse > 0 && a.inUse+uint64(cost) > uint64(r.Most):
		return never
	case r.Rate > 0:
		return max(a.closed, a.full.plus((float64(cost)-r.burst)*r.step).next())
	default:
		return a.closed
	}
}

// point is a time with a fraction of a nanosecond, since the step of a rate may have one.
type point struct {
	at   instant
	part float64 // 0 or more, and less than 1
}

// longAgo is earlier than every time that matters.
const longAgo = -never / 2

// plus returns the time that is some nanoseconds later.
func (p point) plus(ns float64) point {
	ns += p.part
	whole := math.Floor(ns)
	switch at := float64(p.at) + whole; {
	case at >= float64(never):
		return point{at: never}
	case at <= float64(longAgo):
		return point{at: longAgo}
	}
	return point{p.at + instant(whole), ns - whole}
}

// next returns the first instant that is not before the time.
func (p point) next() instant {
	if p.part > 0 {
		return p.at + 1
	}
	return p.at
}

// later returns the later one of two times.
func (p point) later(other point) point {
	if p.at < other.at || p.at == other.at && p.part < other.part {
		return other
	}
	return p
}

// take counts the cost of a task that is handed out.
func (a *account) take(cost uint32, now instant) {
	a.refs++
	a.inUse += uint64(cost)
	if r := a.rule; r != nil && r.Rate > 0 {
		// A task that costs more than the burst has used up the pause before it.
		pause := max(float64(cost)-r.burst, 0)
		a.full = a.full.later(point{at: now}.plus(-pause * r.step)).plus(float64(cost) * r.step)
		a.step = r.step
	}
}

// charge takes what a task of a class uses, for the attempt that begins.
func (x *lanes) charge(t *laned, c *class) {
	for _, u := range c.uses {
		u.account.take(u.cost, x.now)
	}
	t.uses = c.uses
}

// giveBack gives back what the attempt of a task has taken.
func (x *lanes) giveBack(t *laned) {
	uses := t.uses
	t.uses = nil
	for _, u := range uses {
		u.account.refs--
		u.account.inUse -= uint64(u.cost)
		x.refresh(u.account)
	}
}

// refresh opens the lists of an account for which there is room now. It also notes when it is to
// be called again, and forgets the account if it does not matter any more.
func (x *lanes) refresh(a *account) {
	for _, w := range slices.Backward(a.lists) { // from the last one, since a list may be dropped
		if w.index == 0 && a.freeAt(w.cost) <= x.now {
			x.unlock(w)
		}
	}
	x.watch(a)
}

// unlock opens a list. If it has few lines, it opens its classes instead.
func (x *lanes) unlock(w *waitlist) {
	if w.pool.lines > few {
		_, w.turn = w.pool.next()
		x.levels[w.priority].lists.add(w)
		x.opened++
		return
	}
	for c := range w.pool.classes.All() {
		x.extract(c)
		x.open(c)
	}
}

// shut closes a list, if it is open.
func (x *lanes) shut(w *waitlist) {
	if w.index > 0 {
		x.levels[w.priority].lists.remove(w)
		x.opened--
	}
}

// watch notes when an account changes by itself.
func (x *lanes) watch(a *account) {
	wake := never
	if a.refs == 0 {
		if wake = a.matters(); wake <= x.now {
			x.forget(a)
			return
		}
	}
	for _, w := range a.lists {
		if w.index == 0 {
			wake = min(wake, a.freeAt(w.cost))
		}
	}
	a.wake = wake
	switch {
	case wake == never && a.index > 0:
		x.times.remove(a)
	case wake == never:
	case a.index > 0:
		x.times.fix(a)
	default:
		x.times.add(a)
	}
	x.q.alarm.set(wake)
}

// matters returns until when an account without classes and running tasks has an effect.
func (a *account) matters() instant {
	if a.full.at == longAgo {
		return a.closed
	}
	recovered := a.full
	if r := a.rule; r != nil && r.Rate > 0 {
		// A task that costs more than the burst needs a longer pause. For the first such task the past
		// is kept as long as the largest cost may need, but a minute at most.
		longest := min(broker.MaxCost*r.step, float64(time.Minute))
		recovered = recovered.plus(max((float64(a.limit.largest)-r.burst)*r.step, longest))
	}
	return max(a.closed, recovered.next())
}

// forget forgets an account.
func (x *lanes) forget(a *account) {
	if a.index > 0 {
		x.times.remove(a)
	}
	a.limit.accounts.Drop(a.key)
	x.tidyLimit(a.limit)
}

// tidyLimit forgets a limit that has no definition and no account.
func (x *lanes) tidyLimit(l *limit) {
	if len(l.rules) == 0 && l.accounts.Len() == 0 {
		delete(x.limits, l.name)
	}
}

// define sets a definition, or removes it if r is nil. The accounts for which it holds follow
// it at once.
func (x *lanes) define(name, key string, r *rule) {
	l := x.limit(name)
	if r == nil {
		delete(l.rules, key)
	} else {
		l.rules[key] = r
	}
	var changed []*account
	if a, ok := l.accounts.Get(key); ok && key != "" {
		changed = append(changed, a)
	}
	if key == "" {
		for _, a := range l.accounts.All() {
			changed = append(changed, a)
		}
	}
	for _, a := range changed {
		a.follow(l.rule(a.key), x.now)
		x.refresh(a)
	}
	x.tidyLimit(l)
}

// follow replaces the definition of an account. What is used of the burst stays used, as far as
// the new burst goes.
func (a *account) follow(r *rule, now instant) {
	a.rule = r
	if r == nil || r.Rate == 0 || a.full.at == longAgo {
		return
	}
	used := min((float64(a.full.at-now)+a.full.part)/a.step, r.burst)
	a.full = point{at: now}.plus(used * r.step)
	a.step = r.step
}

// newRule returns the rule of a definition.
func newRule(l broker.Limit) *rule {
	r := &rule{Limit: l}
	if l.Rate > 0 {
		r.step, r.burst = float64(l.Per)/float64(l.Rate), float64(l.Bursts())
	}
	return r
}
