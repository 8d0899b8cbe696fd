package memory

import (
	"encoding/binary"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/list"
	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
)

// level has what can be tried in one priority, and the turns of its keys.
type level struct {
	open  pool                        // the open classes
	lists ranked[waitlist, *waitlist] // the open waitlists
	keys  shrinkmap.Map[string, *key] // keys that have a line
	now   uint64                      // the virtual time of the turn that was taken last
}

// key is a key of fairness in one priority.
type key struct {
	name  string
	time  uint64 // the virtual time of its next turn; it only grows
	lines int    // how many lines it has
}

// class has the tasks of one priority that use the same of the same limits. It is in level.open,
// or in a waitlist.
type class struct {
	list.Links[class]
	name     string
	priority uint8
	uses     []use // never changed
	byKey    shrinkmap.Map[string, *line]
	list     *waitlist           // where it waits; nil while it is open
	large    bool                // see pool
	lines    ranked[line, *line] // of a large class
	index    int32
}

// use is what one task takes of a limit.
type use struct {
	account *account
	cost    uint32
}

// line has the tasks of one key in a class. It has a task, except while it is made or removed.
type line struct {
	class *class
	key   *key
	seen  uint64 // in a large class: key.time when it was last looked at
	tasks ranked[laned, *laned]
	index int32
}

func (l *line) turn() turn              { return turn{l.seen, l.tasks.first().position} }
func (l *line) before(other *line) bool { return l.turn().before(other.turn()) }
func (l *line) place() *int32           { return &l.index }

func (c *class) turn() turn               { return c.lines.first().turn() }
func (c *class) before(other *class) bool { return c.turn().before(other.turn()) }
func (c *class) place() *int32            { return &c.index }

// step is the virtual time between two turns of a key with weight 1. Most weights divide it.
const step = 720720

// stepOf returns the virtual time between two turns of a key with a weight.
func stepOf(weight int) uint64 { return uint64(step / weight) }

// serve counts a turn, which a key takes now.
func (lv *level) serve(time *uint64, weight int) {
	lv.now = max(lv.now, *time)
	*time = lv.now + stepOf(weight)
}

// ready reports whether there is something to try.
func (lv *level) ready() bool { return lv.open.lines > 0 || lv.lists.len() > 0 }

// next returns the line that has the next turn, and this turn; nil if there is none.
func (lv *level) next() (l *line, t turn) {
	for {
		l, t = lv.open.next()
		w := lv.lists.first()
		if w == nil || l != nil && t.before(w.turn) {
			return l, t
		}
		waits, now := w.pool.next()
		if w.turn == now {
			return waits, now
		}
		w.turn = now
		lv.lists.fix(w)
	}
}

// weight returns the weight of a key.
func (x *lanes) weight(key string) int {
	if w, ok := x.weights[key]; ok {
		return w
	}
	return 1
}

// pool returns the pool in which a class is.
func (x *lanes) pool(c *class) *pool {
	if c.list != nil {
		return &c.list.pool
	}
	return &x.levels[c.priority].open
}

// join puts a task into its line.
func (x *lanes) join(t *laned) {
	lane := t.r.task.Lane
	c, known := x.class(lane)
	l, ok := c.byKey.Get(lane.Key)
	if !ok {
		l = &line{class: c, key: x.key(lane)}
		l.key.lines++
		c.byKey.Put(lane.Key, l)
	}
	t.line = l
	l.tasks.add(t)
	switch {
	case !known:
		x.open(c)
	case !ok:
		x.pool(c).join(l)
	case l.tasks.first() == t:
		x.pool(c).fix(l)
	default:
		return
	}
	if w := c.list; w != nil && w.index > 0 {
		if first := (turn{l.key.time, t.position}); first.before(w.turn) {
			w.turn = first
			x.levels[c.priority].lists.fix(w)
		}
	}
}

// leave takes a task out of its line.
func (x *lanes) leave(t *laned) {
	l := t.line
	c := l.class
	t.line = nil
	first := l.tasks.first() == t
	l.tasks.remove(t)
	switch {
	case !first:
	case l.tasks.len() > 0:
		x.pool(c).fix(l)
	default:
		c.byKey.Drop(l.key.name)
		if l.key.lines--; l.key.lines == 0 {
			x.levels[c.priority].keys.Drop(l.key.name)
		}
		x.pool(c).leave(l)
		if c.byKey.Len() == 0 {
			x.drop(c)
		}
	}
}

// key returns the key of a lane in its priority. It makes it if the key has no line there.
func (x *lanes) key(lane *broker.Lane) *key {
	lv := &x.levels[lane.Priority]
	k, ok := lv.keys.Get(lane.Key)
	if !ok {
		k = &key{name: lane.Key, time: lv.now + stepOf(x.weight(lane.Key))}
		lv.keys.Put(k.name, k)
	}
	return k
}

// class returns the class of a lane, and whether it was known. It makes it if necessary.
func (x *lanes) class(lane *broker.Lane) (c *class, known bool) {
	name := append(x.name[:0], lane.Priority)
	for _, u := range lane.Limits {
		name = append(append(name, byte(len(u.Limit))), u.Limit...)
		name = append(append(name, byte(len(u.Key))), u.Key...)
		name = binary.BigEndian.AppendUint32(name, u.Cost)
	}
	x.name = name
	if c, known = x.classes.Get(string(name)); known {
		return c, true
	}
	c = &class{name: string(name), priority: lane.Priority, uses: make([]use, len(lane.Limits))}
	for i, u := range lane.Limits {
		a := x.account(u.Limit, u.Key)
		a.refs++
		a.limit.largest = max(a.limit.largest, u.Cost)
		c.uses[i] = use{a, u.Cost}
	}
	x.classes.Put(c.name, c)
	return c, false
}

// open makes a class open that is nowhere.
func (x *lanes) open(c *class) {
	c.list = nil
	x.opened++
	x.levels[c.priority].open.add(c)
}

// extract takes a class out of the pool in which it is.
func (x *lanes) extract(c *class) {
	x.pool(c).remove(c)
	if w := c.list; w == nil {
		x.opened--
	} else if w.pool.classes.Len() == 0 {
		x.shut(w)
		w.account.dropList(w)
	}
	c.list = nil
}

// drop forgets a class without lines.
func (x *lanes) drop(c *class) {
	x.extract(c)
	x.classes.Drop(c.name)
	for _, u := range c.uses {
		u.account.refs--
		x.refresh(u.account)
	}
}

// lacks returns the first use of a class for which there is no room, or nil.
func (c *class) lacks(now instant) *use {
	for i := range c.uses {
		if u := &c.uses[i]; u.account.freeAt(u.cost) > now {
			return u
		}
	}
	return nil
}

// wait lets a class wait for one of its uses, for which there is no room.
func (x *lanes) wait(c *class, u *use) {
	x.extract(c)
	w := u.account.waitlist(c.priority, u.cost)
	x.shut(w)
	c.list = w
	w.pool.add(c)
	x.watch(u.account)
}
