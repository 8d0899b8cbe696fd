package client

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/idblock"
)

// entries are the entries of a table, by id. A client needs an entry for each task, but
// mostly has few at a time. So the memory of dropped entries is used again, and a call that
// is awaited at once allocates none.
type entries struct {
	byID  idblock.Map[*entry]
	spare []*entry // zero entries for reuse
}

const (
	entriesTogether = 32   // entries that share an allocation; for the figures see package slab
	maxSpareEntries = 4096 // the most entries in spare; further ones are left to the garbage collector
)

// len returns the number of entries.
func (x *entries) len() int { return x.byID.Len() }

// get returns the entry of an id, nil if there is none.
func (x *entries) get(id broker.ID) *entry {
	e, _ := x.byID.Get(id)
	return e
}

// enter returns the entry of an id, and makes one if there is none. A fresh entry is zero
// except for its id and its label, which is unknownLabel.
func (x *entries) enter(id broker.ID) (e *entry, fresh bool) {
	if e := x.get(id); e != nil {
		return e, false
	}
	if len(x.spare) == 0 {
		together := make([]entry, entriesTogether)
		for i := range together {
			x.spare = append(x.spare, &together[i])
		}
	}
	last := len(x.spare) - 1
	e, x.spare = x.spare[last], x.spare[:last]
	e.id, e.label = id, unknownLabel
	x.byID.Put(id, e)
	return e, true
}

// drop removes an entry, which is in no list, and makes it zero.
func (x *entries) drop(e *entry) {
	if x.get(e.id) != e { // it was dropped before
		return
	}
	x.byID.Drop(e.id)
	*e = entry{}
	if len(x.spare) < maxSpareEntries {
		x.spare = append(x.spare, e)
	}
}
