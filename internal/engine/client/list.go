package client

// Every entry of the table is in at most one list: the list of entries that nobody waits for,
// or one of the levels, which order the entries by the time of their next look-up. The lists
// are linked through the entries, so moving one needs no memory and takes constant time.

// list is a doubly linked list of entries. The zero list is empty.
type list struct {
	first, last *entry
	len         int
}

// push appends an entry.
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

// remove takes out an entry, which must be in the list.
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

// listID is the number of the list of a table that an entry is in.
type listID uint8

const (
	listNone   listID = iota // in no list
	listIdle                 // nobody waits for it
	listLevel0               // level 0; the numbers of the other levels follow
)

// level returns the level of an entry that waits for a look-up. It is negative for other
// entries.
func (s listID) level() int { return int(s) - int(listLevel0) }

// listOf returns the list of a number other than listNone.
func (t *table) listOf(s listID) *list {
	if s == listIdle {
		return &t.idle
	}
	return &t.levels[s.level()]
}

// put appends an entry that is in no list to a list.
func (t *table) put(e *entry, s listID) {
	e.in = s
	t.listOf(s).push(e)
}

// unlink takes an entry out of its list, if it is in one.
func (t *table) unlink(e *entry) {
	if e.in != listNone {
		t.listOf(e.in).remove(e)
		e.in = listNone
	}
}
