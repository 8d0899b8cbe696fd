package minion

import "github.com/go-arbiter/arbiter/broker"

// A session lists the attempts that it owns, to cancel one by its task's id and to end
// all of them. Each attempt is added and removed once and a search is rare. So this is a
// doubly linked list through the attempts themselves, which needs no memory of its own
// and makes adding and removing cheap.

// attemptList is a list of attempts. run.mu guards it.
type attemptList struct {
	first *attempt
	n     int
}

func (l *attemptList) add(a *attempt) {
	a.listed = true
	a.left, a.right = nil, l.first
	if l.first != nil {
		l.first.left = a
	}
	l.first = a
	l.n++
}

// remove removes an attempt if it is in the list.
func (l *attemptList) remove(a *attempt) {
	if !a.listed {
		return
	}
	a.listed = false
	if a.left != nil {
		a.left.right = a.right
	} else {
		l.first = a.right
	}
	if a.right != nil {
		a.right.left = a.left
	}
	a.left, a.right = nil, nil
	l.n--
}

// find returns the attempt at the task with an id, or nil if there is none.
func (l *attemptList) find(id broker.ID) *attempt {
	for a := l.first; a != nil; a = a.right {
		if a.d.ID == id {
			return a
		}
	}
	return nil
}
