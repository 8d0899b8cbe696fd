package client

// list is a doubly linked list of entries, each of which is in one list of its
// table at most. The zero list is empty.
type list struct {
	first, last *entry
	len         int
}

func (l *list) push(e *entry) {
	e.prev, e.next = l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
	l.len++
}

func (l *list) remove(e *entry) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	l.len--
	e.prev, e.next = nil, nil
}

// shelf says in which list of its table an entry is: none, the idle ones, or those of
// a level.
type shelf uint8

const (
	shelfNone shelf = iota
	shelfIdle
	shelfLevel // that of level 0; the others follow
)

// level returns the level of an entry that is in one.
func (s shelf) level() int { return int(s) - int(shelfLevel) }

func (t *table) listOf(s shelf) *list {
	if s == shelfIdle {
		return &t.idle
	}
	return &t.levels[s.level()]
}

// put appends an entry that is in no list to one.
func (t *table) put(e *entry, s shelf) {
	e.in = s
	t.listOf(s).push(e)
}

// unlink takes an entry out of the list it is in, if any.
func (t *table) unlink(e *entry) {
	if e.in != shelfNone {
		t.listOf(e.in).remove(e)
		e.in = shelfNone
	}
}
