// Package list has a doubly linked list whose links are fields of its values. So adding,
// moving and removing a value takes constant time and no memory.
package list

import "iter"

// Links are the neighbours of a value in its list. A type embeds Links of itself, so that
// its values can be in a list:
//
//	type job struct {
//		list.Links[job]
//		…
//	}
//
//	var jobs list.List[job, *job]
type Links[T any] struct{ prev, next *T }

func (l *Links[T]) links() *Links[T] { return l }

// Linked is a pointer to a type that embeds Links of itself.
type Linked[T any] interface {
	*T
	links() *Links[T]
}

// List is a list of values of the type T; P is *T. A value is in one list at most. The zero
// List is empty.
type List[T any, P Linked[T]] struct {
	first, last *T
	n           int
}

// Len returns the number of values.
func (l *List[T, P]) Len() int { return l.n }

// First returns the first value, or nil if the list is empty.
func (l *List[T, P]) First() *T { return l.first }

// Last returns the last value, or nil if the list is empty.
func (l *List[T, P]) Last() *T { return l.last }

// All returns the values from first to last. The loop may remove the value that it is at.
func (l *List[T, P]) All() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for v := l.first; v != nil; {
			next := P(v).links().next
			if !yield(v) {
				return
			}
			v = next
		}
	}
}

// PushBack adds a value, which is in no list, as the last one.
func (l *List[T, P]) PushBack(v *T) { l.insert(l.last, v, nil) }

// PushFront adds a value, which is in no list, as the first one.
func (l *List[T, P]) PushFront(v *T) { l.insert(nil, v, l.first) }

// InsertAfter adds a value, which is in no list, behind a value of this list.
func (l *List[T, P]) InsertAfter(before, v *T) { l.insert(before, v, P(before).links().next) }

// insert adds v between two neighbours. A neighbour is nil at an end of the list.
func (l *List[T, P]) insert(prev, v, next *T) {
	*P(v).links() = Links[T]{prev, next}
	l.join(prev, v)
	l.join(v, next)
	l.n++
}

// Remove removes a value of this list.
func (l *List[T, P]) Remove(v *T) {
	links := P(v).links()
	l.join(links.prev, links.next)
	*links = Links[T]{}
	l.n--
}

// join makes two values neighbours. One of them may be nil: then the other one is at an end
// of the list. If both are nil, the list is empty.
func (l *List[T, P]) join(prev, next *T) {
	if prev == nil {
		l.first = next
	} else {
		P(prev).links().next = next
	}
	if next == nil {
		l.last = prev
	} else {
		P(next).links().prev = prev
	}
}
