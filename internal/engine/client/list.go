package client

import "github.com/go-arbiter/arbiter/internal/base/list"

// Every entry of the table is in at most one list: the list of entries that nobody waits for,
// or one of the levels, which order the entries by the time of their next look-up.

// entryList is a list of entries.
type entryList = list.List[entry, *entry]

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
func (t *table) listOf(s listID) *entryList {
	if s == listIdle {
		return &t.idle
	}
	return &t.levels[s.level()]
}

// put appends an entry that is in no list to a list.
func (t *table) put(e *entry, s listID) {
	e.in = s
	t.listOf(s).PushBack(e)
}

// unlink takes an entry out of its list, if it is in one.
func (t *table) unlink(e *entry) {
	if e.in != listNone {
		t.listOf(e.in).Remove(e)
		e.in = listNone
	}
}
