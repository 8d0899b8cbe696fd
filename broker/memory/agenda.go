package memory

import (
	"container/heap"
	"time"
)

const minute = instant(time.Minute)

// agenda says what is to be swept when: the keys of each minute, which go as a
// whole. So an entry that waits a month keeps nothing of the others
// alive, and keys without pointers cost the garbage collector nothing.
type agenda[K any] struct {
	pages   map[instant][][]K // by the end of the minute; none is empty
	minutes minutes           // the keys of pages
}

// The numbers of keys in a page: the first of a minute is small, since many have few.
const (
	firstKeys = 4
	lastKeys  = 512
)

// minuteEnd returns the end of the minute that an instant is in.
func minuteEnd(at instant) instant { return (at + minute - 1) / minute * minute }

// add notes the key for the end of the minute that at is in.
func (a *agenda[K]) add(at instant, k K) {
	end := minuteEnd(at)
	pages := a.pages[end]
	last := len(pages) - 1
	if last >= 0 && len(pages[last]) < cap(pages[last]) {
		pages[last] = append(pages[last], k)
		return
	}
	size := firstKeys
	if last >= 0 {
		size = min(2*cap(pages[last]), lastKeys)
	} else {
		if a.pages == nil {
			a.pages = map[instant][][]K{}
		}
		heap.Push(&a.minutes, end)
	}
	a.pages[end] = append(pages, append(make([]K, 0, size), k))
}

// next returns when there will be something to take; never if nothing is noted.
func (a *agenda[K]) next() instant {
	if len(a.minutes) == 0 {
		return never
	}
	return a.minutes[0]
}

// take removes and returns up to n keys whose minute is over, and none only if
// there are no more. Keys of different minutes come in different calls.
func (a *agenda[K]) take(now instant, n int) []K {
	end := a.next()
	if end > now {
		return nil
	}
	pages := a.pages[end]
	last := len(pages) - 1
	l := pages[last]
	keep := max(len(l)-n, 0)
	switch {
	case keep > 0:
		pages[last] = l[:keep:keep]
	case last > 0:
		pages[last] = nil
		a.pages[end] = pages[:last]
	default:
		delete(a.pages, end)
		heap.Pop(&a.minutes)
	}
	return l[keep:]
}

// minutes implements heap.Interface, the earliest first.
type minutes []instant

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
