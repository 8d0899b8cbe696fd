package memory

import (
	"github.com/go-arbiter/arbiter/internal/base/list"
	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
)

// turn is what decides who comes first: a virtual time, and among equal ones the place of a
// task in the order of submission.
type turn struct{ time, position uint64 }

func (t turn) before(other turn) bool {
	return t.time < other.time || t.time == other.time && t.position < other.position
}

// pool has classes of one priority: the open ones, or those of a waitlist. It finds the line
// that has the next turn. There are two ways to change what comes next: a key takes a turn, and
// its lines in all classes then have a later time; and a class comes or goes with all its lines.
// For both to be cheap, there are two kinds of classes:
//
//   - A class with few lines is small. The pool has its lines in groups, one for each key. A
//     turn of a key is one change, that of its group.
//   - Any other class is large. It has a heap of its own lines, and comes or goes in one step. A
//     turn of a key is a change in each large class that has the key.
//
// Groups and large classes note the time of their key that they have seen. Times only grow, so
// it is too small if the key had a turn meanwhile. They come first then, and next corrects them.
// So no line is found too late.
type pool struct {
	groups  ranked[group, *group]
	byKey   shrinkmap.Map[*key, *group]
	large   ranked[class, *class]
	classes list.List[class, *class] // all classes
	lines   int                      // the number of their lines
}

// few is the number of lines up to which a class is small. If it has half as many again, it is
// small again.
const few = 16

// group has the lines of one key in the small classes of a pool.
type group struct {
	key   *key
	seen  uint64 // key.time when it was last looked at
	lines ranked[line, *line]
	index int32
}

func (g *group) turn() turn               { return turn{g.seen, g.lines.first().tasks.first().position} }
func (g *group) before(other *group) bool { return g.turn().before(other.turn()) }
func (g *group) place() *int32            { return &g.index }

// add adds a class.
func (p *pool) add(c *class) {
	p.classes.PushBack(c)
	p.lines += c.byKey.Len()
	if c.large {
		p.large.add(c)
		return
	}
	for _, l := range c.byKey.All() {
		p.addLine(l)
	}
}

// remove removes a class of this pool. If it has no line any more, it is not in a group.
func (p *pool) remove(c *class) {
	p.classes.Remove(c)
	p.lines -= c.byKey.Len()
	if c.large {
		p.large.remove(c)
		return
	}
	for _, l := range c.byKey.All() {
		p.removeLine(l)
	}
}

// addLine adds a line of a small class to its group.
func (p *pool) addLine(l *line) {
	g, ok := p.byKey.Get(l.key)
	if !ok {
		g = &group{key: l.key, seen: l.key.time}
		p.byKey.Put(l.key, g)
	}
	l.seen = 0 // the lines of a group have the time of the group
	if g.lines.add(l); ok {
		p.groups.fix(g)
	} else {
		p.groups.add(g)
	}
}

// removeLine removes a line of a small class from its group.
func (p *pool) removeLine(l *line) {
	g, _ := p.byKey.Get(l.key)
	if g.lines.remove(l); g.lines.len() > 0 {
		p.groups.fix(g)
		return
	}
	p.groups.remove(g)
	p.byKey.Drop(l.key)
}

// fix moves a line to its place, after its first task has changed.
func (p *pool) fix(l *line) {
	if c := l.class; c.large {
		l.seen = l.key.time
		c.lines.fix(l)
		p.large.fix(c)
		return
	}
	g, _ := p.byKey.Get(l.key)
	g.lines.fix(l)
	p.groups.fix(g)
}

// join adds a line that has become one of a class of this pool.
func (p *pool) join(l *line) {
	p.lines++
	c := l.class
	switch {
	case c.large:
		l.seen = l.key.time
		c.lines.add(l)
		p.large.fix(c)
	case c.byKey.Len() <= few:
		p.addLine(l)
	default: // it becomes a large class
		for _, other := range c.byKey.All() {
			if other != l {
				p.removeLine(other)
			}
			other.seen = other.key.time
			c.lines.add(other)
		}
		c.large = true
		p.large.add(c)
	}
}

// leave removes a line that is no longer one of a class of this pool.
func (p *pool) leave(l *line) {
	p.lines--
	c := l.class
	if !c.large {
		p.removeLine(l)
		return
	}
	c.lines.remove(l)
	if c.lines.len() >= few/2 {
		p.large.fix(c)
		return
	}
	p.large.remove(c) // it becomes a small class
	c.large = false
	for _, other := range c.byKey.All() {
		c.lines.remove(other)
		p.addLine(other)
	}
}

// next returns the line that has the next turn, and this turn; nil if there is none.
func (p *pool) next() (l *line, t turn) {
	for {
		g, c := p.groups.first(), p.large.first()
		if g != nil && g.seen != g.key.time {
			g.seen = g.key.time
			p.groups.fix(g)
			continue
		}
		if c != nil {
			if first := c.lines.first(); first.seen != first.key.time {
				first.seen = first.key.time
				c.lines.fix(first)
				p.large.fix(c)
				continue
			}
		}
		switch {
		case g == nil && c == nil:
			return nil, turn{}
		case c == nil || g != nil && g.turn().before(c.turn()):
			return g.lines.first(), g.turn()
		default:
			return c.lines.first(), c.turn()
		}
	}
}
