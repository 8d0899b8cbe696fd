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
	keys    map[instant]*pages[K] // by the end of their minute; no minute and no page is empty
	minutes minutes               // the minutes in keys
}

// add adds a key that is due at the end of the minute that contains at.
func (a *expiryQueue[K]) add(at instant, k K) {
	end := minuteEnd(at)
	keys := a.keys[end]
	if keys == nil {
		if a.keys == nil {
			a.keys = make(map[instant]*pages[K])
		}
		keys = &pages[K]{}
		a.keys[end] = keys
		heap.Push(&a.minutes, end)
	}
	page := keys.room(1)
	*page = append(*page, k)
}

// next returns when the next keys are due, or never if there are none.
func (a *expiryQueue[K]) next() instant {
	if len(a.minutes) == 0 {
		return never
	}
	return a.minutes[0]
}

// take removes and returns up to n keys that are due. It returns none only if no more are
// due. One call returns keys of one page only.
func (a *expiryQueue[K]) take(now instant, n int) []K {
	end := a.next()
	if end > now {
		return nil
	}
	keys := a.keys[end]
	last := len(*keys) - 1
	page := (*keys)[last]
	left := max(len(page)-n, 0)
	switch {
	case left > 0:
		(*keys)[last] = page[:left:left] // the next add must not overwrite the returned keys
	case last > 0:
		(*keys)[last] = nil
		*keys = (*keys)[:last]
	default:
		delete(a.keys, end)
		heap.Pop(&a.minutes)
	}
	return page[left:]
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
