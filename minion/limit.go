package minion

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A limit bounds how many tasks run at once in a minion: of those with one name ([AtMost]),
// or of those from one queue ([AtMostFrom]). A task takes part in its limits from the moment
// at which it may start, except for a slot, until its attempt ends. A handler that waits for
// another task leaves its limits meanwhile, as it lends its slots, and for the same reason:
// the awaited task may have the same limit. It takes part again when its wait is over,
// whatever the limit says.
//
// A broker hands tasks out whatever their names are. So the minion may get a task whose limit
// is reached. The task must not be kept from other minions for long, and the tasks behind it
// must not wait for it. Therefore some such tasks wait in the minion, for a short time: the
// next one starts at once when one ends. All others are put off (put_off.go).
//
// All tasks of a queue have its limit. So the minion just takes no task from the queue while
// the limit is reached, and gives those that it has too many back to the front of the queue.

const (
	// limitWait is how long a task waits in the minion for its limit.
	limitWait = 2 * time.Second
	// limitLook is how often the minion looks for tasks that have waited for too long, or
	// have ended meanwhile.
	limitLook = 100 * time.Millisecond
)

// limits are the limits of a run. run.mu guards them.
type limits struct {
	names  map[string]*limit
	queues map[string]*limit
	order  []*limit // all of them
	timer  *time.Timer
	armed  bool // the timer is running
	open   []string
}

// limit bounds one name or one queue.
type limit struct {
	most  int
	used  int        // attempts that run, or may start as soon as their slots are free
	waits []*attempt // attempts that wait for it, the oldest first
	queue bool       // it is the limit of a queue
	rich  bool       // of a queue: the last request that asked it was filled, so it probably has more tasks
}

// entry says whether an attempt takes part in its limits.
type entry uint8

const (
	outside entry = iota // it has no limits, or does not take part in them
	waiting              // it waits for one of them
	inside               // it takes part
)

// newLimits returns the limits of a run, or nil if there are none.
func newLimits(cfg *config) *limits {
	if len(cfg.atMost)+len(cfg.fromQueue) == 0 {
		return nil
	}
	ls := &limits{names: make(map[string]*limit), queues: make(map[string]*limit)}
	add := func(to map[string]*limit, most map[string]int, queue bool) {
		for name, n := range most {
			to[name] = &limit{most: n, queue: queue}
			ls.order = append(ls.order, to[name])
		}
	}
	add(ls.names, cfg.atMost, false)
	add(ls.queues, cfg.fromQueue, true)
	return ls
}

// of returns the limits of an attempt. Either may be nil.
func (ls *limits) of(a *attempt) (both [2]*limit) {
	return [2]*limit{ls.names[a.d.Name], ls.queues[a.d.Queue]}
}

// reached returns a limit of an attempt that is reached, or nil if there is none.
func (ls *limits) reached(a *attempt) *limit {
	for _, l := range ls.of(a) {
		if l != nil && l.used >= l.most {
			return l
		}
	}
	return nil
}

// add changes how many attempts take part in the limits of a.
func (ls *limits) add(a *attempt, n int) {
	for _, l := range ls.of(a) {
		if l != nil {
			l.used += n
		}
	}
}

// admit adds an attempt to the prefetch queue, unless a limit of it is reached. Then it waits
// for the limit, or goes back to the broker if too many wait. admit reports false if it was
// put off.
func (r locked) admit(a *attempt, now time.Time) bool {
	ls := r.atMost
	if ls == nil {
		r.prefetched.push(a)
		return true
	}
	l := ls.reached(a)
	switch {
	case l == nil:
		a.entry = inside
		ls.add(a, 1)
		r.prefetched.push(a)
		return true
	case l.queue && len(l.waits) >= r.prefetched.pace:
		r.giveBackOne(a)
		return true
	case !l.queue && len(l.waits) >= max(l.most, r.slots.total):
		r.putOff(a, now)
		return false
	}
	r.await(l, a)
	return true
}

// await lets an attempt wait for a limit.
func (r locked) await(l *limit, a *attempt) {
	a.entry = waiting
	l.waits = append(l.waits, a)
	if ls := r.atMost; !ls.armed {
		ls.armed = true
		if ls.timer == nil {
			ls.timer = time.AfterFunc(limitLook, r.watchLimits)
		} else {
			ls.timer.Reset(limitLook)
		}
	}
}

// join lets an attempt take part in its limits that starts as a member of a squad. It reports
// false if a limit is reached.
func (r locked) join(a *attempt) bool {
	ls := r.atMost
	if ls == nil {
		return true
	}
	if ls.reached(a) != nil {
		return false
	}
	a.entry = inside
	ls.add(a, 1)
	return true
}

// depart ends the part of an attempt in its limits, and lets others start that wait for them.
func (r locked) depart(a *attempt) {
	if a.entry != inside {
		return
	}
	a.entry = outside
	if !a.slot.lent { // else it has left them already
		r.leave(a)
	}
}

// leave counts an attempt less in its limits, and lets others start that wait for them.
func (r locked) leave(a *attempt) {
	ls := r.atMost
	ls.add(a, -1)
	for _, l := range ls.of(a) {
		if l != nil {
			r.promote(l)
		}
	}
}

// promote adds attempts that wait for a limit to the prefetch queue.
func (r locked) promote(l *limit) {
	for l.used < l.most && len(l.waits) > 0 {
		a := l.waits[0]
		l.waits[0] = nil
		if l.waits = l.waits[1:]; len(l.waits) == 0 {
			l.waits = nil
		}
		if other := r.atMost.reached(a); other != nil {
			r.await(other, a)
			continue
		}
		a.entry = inside
		r.atMost.add(a, 1)
		a.asked = time.Since(a.received)
		r.prefetched.push(a)
		r.watchPrefetched()
		r.wake()
	}
}

// watchLimits returns attempts that have waited for their limits for too long, or whose tasks
// have ended.
func (r *run) watchLimits() {
	l := r.lock()
	ls, now := r.atMost, time.Now()
	ls.armed = false
	var off []*attempt
	left := 0
	for _, one := range ls.order {
		one.waits = slices.DeleteFunc(one.waits, func(a *attempt) bool {
			end, limited := a.deadline()
			switch over := a.ctx.cause() != nil || limited && !now.Before(end); {
			case over || one.queue && a.waited(now) >= limitWait:
				l.giveBackOne(a) // which ends a task that was cancelled, or is too late
			case a.waited(now) >= limitWait:
				l.putOff(a, now)
				off = append(off, a)
			default:
				return false
			}
			return true
		})
		left += len(one.waits)
	}
	if left > 0 {
		ls.armed = true
		ls.timer.Reset(limitLook)
	}
	l.changed()
	l.unlock()
	r.tellPutOff(off)
}

// giveBackWaiting returns all attempts that wait for limits to their queues.
func (r locked) giveBackWaiting() {
	if r.atMost == nil {
		return
	}
	for _, l := range r.atMost.order {
		for _, a := range l.waits {
			r.giveBackOne(a)
		}
		l.waits = nil
	}
}

// roomFor returns how many more tasks a queue with a limit can have, with some of them
// prefetched.
func (r locked) roomFor(l *limit) int {
	return max(l.most+r.prefetched.pace-l.used-len(l.waits), 0)
}

// closed reports whether no queue may be asked, because the limits of all are reached.
func (r locked) closed() bool {
	if r.atMost == nil || len(r.atMost.queues) < len(r.m.cfg.queues) {
		return false
	}
	for _, l := range r.atMost.queues {
		if r.roomFor(l) > 0 {
			return false
		}
	}
	return true
}

// askable returns the queues that may be asked for up to n tasks, and for how many. A request
// is for several queues, so it may bring more tasks of one than its limit allows. That costs
// a give-back for each, so it must not happen each time: if a queue has many tasks, the
// request is for as many as it has room for.
func (r locked) askable(queues []string, n int) (open []string, most int) {
	ls := r.atMost
	if ls == nil || len(ls.queues) == 0 {
		return queues, n
	}
	ls.open = ls.open[:0]
	for _, q := range queues {
		l := ls.queues[q]
		if l == nil {
			ls.open = append(ls.open, q)
			continue
		}
		room := r.roomFor(l)
		if room == 0 {
			continue
		}
		ls.open = append(ls.open, q)
		if l.rich {
			n = min(n, room)
		}
	}
	if len(ls.open) == 1 {
		if l := ls.queues[ls.open[0]]; l != nil {
			n = min(n, r.roomFor(l))
		}
	}
	return ls.open, n
}

// answered notes which queues probably have more tasks, after a request for n tasks.
func (r *run) answered(queues []string, n int, got []*broker.Delivery) {
	ls := r.atMost
	if ls == nil || len(ls.queues) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range queues {
		if l := ls.queues[q]; l != nil {
			l.rich = len(got) == n && slices.ContainsFunc(got, func(d *broker.Delivery) bool { return d.Queue == q })
		}
	}
}
