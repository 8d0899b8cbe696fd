package memory

import (
	"container/heap"
	"time"
)

// The sweeper has to know when records and flows are to be forgotten. There can be millions
// of them, so an expiry queue orders only the minutes: it keeps the keys of each minute in
// pages, and a heap of the minutes. Adding a key is cheap, and the keys of a minute are
// dropped together.

const minute = instant(time.Minute)

// expiryQueue holds keys by the minute in which they are due. The keys of different minutes
// share no memory, so a key that waits a month keeps no others alive. Keys without pointers
// cost the garbage collector nothing.
type expiryQueue[K any] struct {
	pages   map[instant][][]K // the keys by the end of their minute; no page is empty
	minutes minutes           // heap of the keys of pages
}

// The sizes of pages. The first page of a minute is small, because many minutes have few
// keys.
const (
	firstKeys = 4
	lastKeys  = 512
)

// minuteEnd returns the end of the minute that contains an instant.
func minuteEnd(at instant) instant { return (at + minute - 1) / minute * minute }

// add adds a key that is due at the end of the minute that contains at.
func (a *expiryQueue[K]) add(at instant, k K) {
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

// minutes implements heap.Interface, with the earliest first.
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
