package minion

import (
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// A ceiling bounds how many tasks run at once in a minion: of those with one name ([AtMost]),
// or of those from one queue ([AtMostFrom]). A task takes part in its ceilings from the moment
// at which it may start, except for a slot, until its attempt ends. A handler that waits for
// another task leaves its ceilings meanwhile, as it lends its slots, and for the same reason:
// the awaited task may have the same ceiling. It takes part again when its wait is over,
// whatever the ceiling says.
//
// A broker hands tasks out whatever their names are. So the minion may get a task whose ceiling
// is reached. The task must not be kept from minions that have room for it, and the tasks behind
// it must not wait for it. Therefore some such tasks wait in the minion: the next one starts at
// once when one ends. After a short time the minion looks whether another one has room, as it
// does for a heavy task (heavy.go). All other tasks are put off (put_off.go).
//
// All tasks of a queue have its ceiling. So the minion just takes no task from the queue while
// the ceiling is reached, and gives those that it has too many back to the front of the queue.

// AtMost bounds how many tasks with a name run at once in this minion, for example because
// each of them needs much memory: n is 1 to [MaxSlots]. Other tasks can use all other slots.
// It may be given for several names. The default is no bound. Run returns an error if no
// handler is registered for the name. For a bound over all minions together, use
// [task.Limit].
//
// Tasks beyond the bound do not hold up the tasks behind them. A hundred, or as many as the
// minion has slots if these are more, wait in the minion, so that the next one starts when one
// ends; after two seconds they go to another minion if one has room for them. The others go
// back to the queue: they are due again after a second or two, and if that happens repeatedly, after up to a minute.
// Meanwhile their state is retrying, although no retry is used up, and any minion may get them
// when they are due. So they lose their order, except for those of a sequence. A task that
// names a limit on a rate uses up its cost each time that it is handed out. In a queue full of
// such tasks, a minion looks through 1,000 of them per second for other tasks. Where the bound
// often is reached, a queue of its own with [AtMostFrom] is better: it keeps the order, and
// costs nothing.
//
// A handler that waits for another task by the submitter of its context does not count
// meanwhile, as it lends its slot. So after its wait there may be more than n, and no further
// one starts until there are fewer than n. A squad does not start if it would exceed the
// bound. A heavy task, see [task.Slots], counts as one.
func AtMost(name string, n int) Option {
	return optionFunc(func(c *config) { c.setCeiling(&c.atMost, "AtMost", "task", name, n) })
}

// AtMostFrom bounds how many tasks of a queue run at once in this minion, which serves other
// queues as well: n is 1 to [MaxSlots]. While that many run the minion takes no task
// from the queue, so the tasks keep their order and other minions can take them. It may be
// given for several queues, and together with [AtMost]. The default is no bound. New returns
// an error if the minion does not serve the queue. The rules about handlers that wait, squads
// and heavy tasks are those of AtMost.
func AtMostFrom(queue string, n int) Option {
	return optionFunc(func(c *config) { c.setCeiling(&c.fromQueue, "AtMostFrom", "queue", queue, n) })
}

func (c *config) setCeiling(ceilings *map[string]int, option, kind, name string, n int) {
	if err := broker.CheckName(kind, name); err != nil {
		c.fail("%s: %v", option, err)
	}
	if n < 1 || n > MaxSlots {
		c.fail("%s(%q, %d), want 1 to %d; leave the option out for no bound", option, name, n, MaxSlots)
	}
	if *ceilings == nil {
		*ceilings = make(map[string]int)
	}
	(*ceilings)[name] = n
}

// checkCeilings checks the options AtMostFrom, after all options were given.
func (c *config) checkCeilings() {
	for name := range c.fromQueue {
		if !slices.Contains(c.queues, name) {
			c.fail("AtMostFrom: the minion does not serve queue %s; name it in Queue, Queues or Weighted", name)
		}
	}
}

const (
	// ceilingWait is how long a task waits in the minion for its ceiling before the minion looks
	// whether another one has room.
	ceilingWait = 2 * time.Second
	// ceilingRoom is for how many tasks of a name a minion has room to wait; it is more if the
	// ceiling or the number of slots is.
	ceilingRoom = 100
	// ceilingLook is how often the minion looks for tasks that have waited for too long, or
	// have ended meanwhile.
	ceilingLook = 100 * time.Millisecond
)

// ceilings are the ceilings of a run. run.mu guards them.
type ceilings struct {
	names  map[string]*ceiling
	queues map[string]*ceiling
	order  []*ceiling // all of them
	timer  *time.Timer
	armed  bool // the timer is running
	open   []string
}

// ceiling bounds one name or one queue.
type ceiling struct {
	most  int
	used  int        // attempts that run, or may start as soon as their slots are free
	waits []*attempt // attempts that wait for it, the oldest first
	queue bool       // it is the ceiling of a queue
	rich  bool       // of a queue: it may have many tasks; false after a request for it that was not filled
	out   bool       // of a queue: the last request, which may be under way, leaves it out
}

// entry says whether an attempt takes part in its ceilings.
type entry uint8

const (
	outside entry = iota // it has no ceilings, or does not take part in them
	waiting              // it waits for one of them
	inside               // it takes part
)

// newCeilings returns the ceilings of a run, or nil if there are none.
func newCeilings(cfg *config) *ceilings {
	if len(cfg.atMost)+len(cfg.fromQueue) == 0 {
		return nil
	}
	cs := &ceilings{names: make(map[string]*ceiling), queues: make(map[string]*ceiling)}
	add := func(to map[string]*ceiling, most map[string]int, queue bool) {
		for name, n := range most {
			to[name] = &ceiling{most: n, queue: queue, rich: true}
			cs.order = append(cs.order, to[name])
		}
	}
	add(cs.names, cfg.atMost, false)
	add(cs.queues, cfg.fromQueue, true)
	return cs
}

// of returns the ceilings of an attempt. Either may be nil.
func (cs *ceilings) of(a *attempt) (both [2]*ceiling) {
	return [2]*ceiling{cs.names[a.d.Name], cs.queues[a.d.Queue]}
}

// reached returns a ceiling of an attempt that is reached, or nil if there is none.
func (cs *ceilings) reached(a *attempt) *ceiling {
	for _, c := range cs.of(a) {
		if c != nil && c.used >= c.most {
			return c
		}
	}
	return nil
}

// add changes how many attempts take part in the ceilings of a.
func (cs *ceilings) add(a *attempt, n int) {
	for _, c := range cs.of(a) {
		if c != nil {
			c.used += n
		}
	}
}

// admit adds an attempt to the prefetch queue, unless a ceiling of it is reached. Then it waits
// for the ceiling, or goes back to the broker if too many wait. admit reports false if it was
// put off.
func (r locked) admit(a *attempt, now time.Time) bool {
	cs := r.ceilings
	if cs == nil {
		r.prefetched.push(a)
		return true
	}
	c := cs.reached(a)
	switch {
	case c == nil:
		a.entry = inside
		cs.add(a, 1)
		r.prefetched.push(a)
		return true
	case c.queue && len(c.waits) >= r.prefetched.pace:
		r.giveBackOne(a)
		return true
	case !c.queue && len(c.waits) >= max(c.most, r.slots.total, ceilingRoom):
		r.putOff(a, now)
		return false
	}
	r.await(c, a)
	return true
}

// await lets an attempt wait for a ceiling.
func (r locked) await(c *ceiling, a *attempt) {
	a.entry = waiting
	c.waits = append(c.waits, a)
	if cs := r.ceilings; !cs.armed {
		cs.armed = true
		if cs.timer == nil {
			cs.timer = time.AfterFunc(ceilingLook, r.watchCeilings)
		} else {
			cs.timer.Reset(ceilingLook)
		}
	}
}

// join lets an attempt take part in its ceilings that starts as a member of a squad. It reports
// false if a ceiling is reached.
func (r locked) join(a *attempt) bool {
	cs := r.ceilings
	if cs == nil {
		return true
	}
	if cs.reached(a) != nil {
		return false
	}
	a.entry = inside
	cs.add(a, 1)
	return true
}

// depart ends the part of an attempt in its ceilings, and lets others start that wait for them.
func (r locked) depart(a *attempt) {
	if a.entry != inside {
		return
	}
	a.entry = outside
	if !a.slot.lent { // else it has left them already
		r.leave(a)
	}
}

// leave counts an attempt less in its ceilings, and lets others start that wait for them.
func (r locked) leave(a *attempt) {
	cs := r.ceilings
	cs.add(a, -1)
	for _, c := range cs.of(a) {
		if c != nil {
			r.promote(c)
			r.reopen(c)
		}
	}
}

// reopen ends the dequeue under way if that leaves out a queue which has room again. It could
// wait for a task of the other queues for as long as dequeueWait.
func (r locked) reopen(c *ceiling) {
	if c.out && r.roomFor(c) > 0 {
		c.out = false
		if r.interrupt != nil {
			r.interrupt()
		}
	}
}

// promote adds attempts that wait for a ceiling to the prefetch queue.
func (r locked) promote(c *ceiling) {
	for c.used < c.most && len(c.waits) > 0 {
		a := c.waits[0]
		c.waits[0] = nil
		if c.waits = c.waits[1:]; len(c.waits) == 0 {
			c.waits = nil
		}
		if other := r.ceilings.reached(a); other != nil {
			r.await(other, a)
			continue
		}
		a.entry = inside
		r.ceilings.add(a, 1)
		a.asked = time.Since(a.received)
		r.prefetched.push(a)
		r.watchPrefetched()
		r.wake()
	}
}

// watchCeilings returns attempts that have waited for their ceilings for too long, or whose tasks
// have ended.
func (r *run) watchCeilings() {
	l := r.lock()
	cs, now := r.ceilings, time.Now()
	cs.armed = false
	left := 0
	var long *attempt // one that has waited for long, and that another minion may have room for
	for _, one := range cs.order {
		one.waits = slices.DeleteFunc(one.waits, func(a *attempt) bool {
			end, limited := a.deadline()
			switch over := a.ctx.cause() != nil || limited && !now.Before(end); {
			case over || one.queue && a.waited(now) >= ceilingWait:
				l.giveBackOne(a) // which ends a task that was cancelled, or is too late
				return true
			case a.waited(now) >= ceilingWait:
				long = a
			}
			return false
		})
		left += len(one.waits)
		l.reopen(one)
	}
	if long != nil {
		l.look(now, long.s, l.giveBackLong)
	}
	if left > 0 {
		cs.armed = true
		cs.timer.Reset(ceilingLook)
	}
	l.changed()
	l.unlock()
}

// giveBackLong returns the attempts that have waited for the ceilings of their names for long, and
// for which another minion has room. It reports whether there were any.
func (r locked) giveBackLong(minions []broker.MinionInfo) (some bool) {
	now := time.Now()
	for _, c := range r.ceilings.order {
		c.waits = slices.DeleteFunc(c.waits, func(a *attempt) bool {
			if a.waited(now) < ceilingWait || !roomElsewhere(minions, a) {
				return false
			}
			r.giveBackOne(a)
			some = true
			return true
		})
	}
	return some
}

// giveBackWaiting returns all attempts that wait for ceilings to their queues.
func (r locked) giveBackWaiting() {
	if r.ceilings == nil {
		return
	}
	for _, c := range r.ceilings.order {
		for _, a := range c.waits {
			r.giveBackOne(a)
		}
		c.waits = nil
	}
}

// roomFor returns how many more tasks a queue with a ceiling can have, with some of them
// prefetched. While the ceiling is reached it returns 0 until half the pace is free, so that
// requests fetch many tasks instead of few.
func (r locked) roomFor(c *ceiling) int {
	claimed, pace := c.used+len(c.waits), r.prefetched.pace
	n := c.most + pace - claimed
	if claimed >= c.most && n < (pace+1)/2 {
		return 0
	}
	return max(n, 0)
}

// closed reports whether no queue may be asked, because the ceilings of all are reached.
func (r locked) closed() bool {
	if r.ceilings == nil || len(r.ceilings.queues) < len(r.m.cfg.queues) {
		return false
	}
	for _, c := range r.ceilings.queues {
		if r.roomFor(c) > 0 {
			return false
		}
	}
	return true
}

// askable returns the queues that may be asked for up to n tasks, and for how many. A request
// is for several queues, so it may bring more tasks of one than its ceiling allows. That costs
// a give-back for each, so it must not happen each time: if a queue has many tasks, the
// request is for as many as it has room for.
func (r locked) askable(queues []string, n int) (open []string, most int) {
	cs := r.ceilings
	if cs == nil || len(cs.queues) == 0 {
		return queues, n
	}
	cs.open = cs.open[:0]
	for _, q := range queues {
		c := cs.queues[q]
		if c == nil {
			cs.open = append(cs.open, q)
			continue
		}
		room := r.roomFor(c)
		if c.out = room == 0; c.out {
			continue
		}
		cs.open = append(cs.open, q)
		if c.rich {
			n = min(n, room)
		}
	}
	if len(cs.open) == 1 {
		if c := cs.queues[cs.open[0]]; c != nil {
			n = min(n, r.roomFor(c))
		}
	}
	return cs.open, n
}

// answered notes which queues probably have more tasks, after a request for n tasks that was not
// cut short.
func (r *run) answered(queues []string, n int, got []*broker.Delivery) {
	cs := r.ceilings
	if cs == nil || len(cs.queues) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range queues {
		switch c := cs.queues[q]; {
		case c == nil:
		case len(got) < n:
			c.rich = false
		case slices.ContainsFunc(got, func(d *broker.Delivery) bool { return d.Queue == q }):
			c.rich = true
		}
	}
}
