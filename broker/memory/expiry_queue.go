package memory

import (
	"container/heap"
	"time"
)

const minute = instant(time.Minute)

// minuteEnd returns the end of the minute that contains an instant.
func minuteEnd(at instant) instant { return (at + minute - 1) / minute * minute }

// expiryQueue holds keys by the minute in which something of them is to be forgotten. There
// can be millions of keys, so only the minutes are in order, and keys should have no
// pointers for the garbage collector to follow.
type expiryQueue[K any] struct {
	keys    map[instant][]K // by the end of their minute; none of the slices is empty
	minutes minutes         // the minutes in keys
}

// add adds a key that is due at the end of the minute that contains at.
func (a *expiryQueue[K]) add(at instant, k K) {
	end := minuteEnd(at)
	if len(a.keys[end]) == 0 {
		if a.keys == nil {
			a.keys = make(map[instant][]K)
		}
		heap.Push(&a.minutes, end)
	}
	a.keys[end] = append(a.keys[end], k)
}

// next returns when the next keys are due, or never if there are none.
func (a *expiryQueue[K]) next() instant {
	if len(a.minutes) == 0 {
		return never
	}
	return a.minutes[0]
}

// take removes and returns up to n keys that are due. It returns none only if no more are
// due. One call returns keys of one minute only.
func (a *expiryQueue[K]) take(now instant, n int) []K {
	end := a.next()
	if end > now {
		return nil
	}
	keys := a.keys[end]
	left := max(len(keys)-n, 0)
	if left > 0 {
		a.keys[end] = keys[:left:left] // the next add must not overwrite the returned keys
	} else {
		delete(a.keys, end)
		heap.Pop(&a.minutes)
	}
	return keys[left:]
}

// minutes implements heap.Interface, with the earliest first.
type minutes []instant //nolint:recvcheck // heap.Interface wants a pointer only where the length changes

func (m minutes) Len() int           { return len(m) }
func (m minutes) Less(i, j int) bool { return m[i] < m[j] }
func (m minutes) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *minutes) Push(x any)        { *m = append(*m, x.(instant)) }
func (m *minutes) Pop() any {
	last := len(*m) - 1
	x := (*m)[last]
	*m = (*m)[:last]
	return x
}
