package client

// list is a doubly linked list of entries, each of which is in one list at
// most. The zero list is empty.
type list struct {
	first, last *entry
	len         int
}

func (l *list) push(e *entry) {
	e.in, e.prev, e.next = l, l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
	l.len++
}

// unlink takes an entry out of the list it is in, if any.
func (e *entry) unlink() {
	l := e.in
	if l == nil {
		return
	}
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
	e.in, e.prev, e.next = nil, nil, nil
}
