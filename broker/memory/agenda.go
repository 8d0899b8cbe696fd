package memory

import (
	"container/heap"
	"time"
)

const minute = instant(time.Minute)

// agenda says what is to be swept when: a list of keys for each minute, which
// goes as a whole. So an entry that waits a month keeps nothing of the others
// alive, and keys without pointers cost the garbage collector nothing.
type agenda[K any] struct {
	lists   map[instant][]K // by the end of the minute
	minutes minutes         // the keys of lists
}

// minuteEnd returns the end of the minute that an instant is in.
func minuteEnd(at instant) instant { return (at + minute - 1) / minute * minute }

// add notes the key for the end of the minute that at is in.
func (a *agenda[K]) add(at instant, k K) {
	end := minuteEnd(at)
	l, ok := a.lists[end]
	if !ok {
		if a.lists == nil {
			a.lists = map[instant][]K{}
		}
		heap.Push(&a.minutes, end)
	}
	a.lists[end] = append(l, k)
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
	l := a.lists[end]
	keep := max(len(l)-n, 0)
	if keep == 0 {
		delete(a.lists, end)
		heap.Pop(&a.minutes)
	} else {
		a.lists[end] = l[:keep:keep]
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
