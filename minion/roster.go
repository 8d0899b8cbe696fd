package minion

import "github.com/go-arbiter/arbiter/broker"

// roster lists attempts through the attempts themselves: each comes and goes at
// once, and looking for an id is rare.
type roster struct {
	first *attempt
	n     int
}

func (l *roster) add(a *attempt) {
	a.listed = true
	a.left, a.right = nil, l.first
	if l.first != nil {
		l.first.left = a
	}
	l.first = a
	l.n++
}

// remove takes an attempt off the list if it is there.
func (l *roster) remove(a *attempt) {
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

// find returns the attempt at a task, nil if there is none.
func (l *roster) find(id broker.ID) *attempt {
	for a := l.first; a != nil; a = a.right {
		if a.d.ID == id {
			return a
		}
	}
	return nil
}
