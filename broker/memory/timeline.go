package memory

import (
	"container/heap"
	"slices"
)

// timeline has records in the order of one of their times. It is a heap. Each record knows
// its index there, so it can be removed at any time.
type timeline struct {
	records []*record
	of      func(*record) *moment // the time by which this timeline orders its records
}

// moment is a time of a record, and the place of the record in the timeline of that time.
type moment struct {
	at    instant
	place int32 // the index in the timeline plus one; 0 if the record is not there
}

func dueTime(r *record) *moment      { return &r.due }
func deadlineTime(r *record) *moment { return &r.deadline }

// first returns the earliest time, or never if the timeline is empty.
func (t *timeline) first() instant {
	if len(t.records) == 0 {
		return never
	}
	return t.of(t.records[0]).at
}

// due removes and returns the first record if its time has come, else it returns nil.
func (t *timeline) due(now instant) *record {
	if t.first() > now {
		return nil
	}
	return heap.Pop(t).(*record)
}

// add adds a record that is not there.
func (t *timeline) add(r *record) { heap.Push(t, r) }

// has reports whether a record is there.
func (t *timeline) has(r *record) bool { return t.of(r).place > 0 }

// remove removes a record that is there.
func (t *timeline) remove(r *record) { heap.Remove(t, int(t.of(r).place-1)) }

// The following methods implement heap.Interface. Only package heap calls them.

// Len implements [heap.Interface].
func (t *timeline) Len() int { return len(t.records) }

// Less orders records by the time, and those with the same time by record.seq.
func (t *timeline) Less(i, j int) bool {
	x, y := t.records[i], t.records[j]
	a, b := t.of(x).at, t.of(y).at
	return a < b || a == b && x.seq < y.seq
}

// Swap implements [heap.Interface].
func (t *timeline) Swap(i, j int) {
	l := t.records
	l[i], l[j] = l[j], l[i]
	t.of(l[i]).place, t.of(l[j]).place = int32(i+1), int32(j+1)
}

// Push implements [heap.Interface].
func (t *timeline) Push(x any) {
	r := x.(*record)
	t.records = append(t.records, r)
	t.of(r).place = int32(len(t.records))
}

// Pop implements [heap.Interface].
func (t *timeline) Pop() any {
	last := len(t.records) - 1
	r := t.records[last]
	t.records = slices.Delete(t.records, last, last+1)
	if cap(t.records) > 1024 && last < cap(t.records)/4 { // a slice never shrinks
		t.records = append(make([]*record, 0, 2*last), t.records...)
	}
	t.of(r).place = 0
	return r
}
