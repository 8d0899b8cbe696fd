// Package idblock finds what is kept of ids that are in blocks, see [broker.Block]: one
// look-up serves those of a block that come one after the other, as they mostly do.
package idblock

import (
	"iter"

	"github.com/go-arbiter/arbiter/broker"
)

// Index leads from ids to places in a table of its user's own. It is for ids in blocks
// only. The zero Index is ready to use, by one goroutine at a time.
type Index struct {
	blocks map[broker.ID]*block
	last   *block // the one that was asked for last; nil if there is none
}

type block struct {
	name   broker.ID
	n      int      // how many are in use
	places []uint32 // plus one; 0 is none. As long as the highest one needs, at least
}

// Has reports whether an id is one for an Index.
func Has(id *broker.ID) bool { return id.BlockPlace() != 0 }

// Name returns what the ids of a block have in common, and no id of a task is.
func Name(id broker.ID) broker.ID {
	id[15] = 0xff
	return id
}

// find returns the block of an id, nil if there is none.
func (x *Index) find(id *broker.ID) *block {
	if b := x.last; b != nil && [15]byte(b.name[:15]) == [15]byte(id[:15]) {
		return b
	}
	b := x.blocks[Name(*id)]
	if b != nil {
		x.last = b
	}
	return b
}

// Get returns where an id leads, if it is known.
func (x *Index) Get(id *broker.ID) (place uint32, ok bool) {
	b, at := x.find(id), id.BlockPlace()-1
	if b == nil || at >= len(b.places) || b.places[at] == 0 {
		return 0, false
	}
	return b.places[at] - 1, true
}

// Put lets an id lead to a place, which is less than 1<<32-1.
func (x *Index) Put(id *broker.ID, place uint32) {
	b, at := x.find(id), id.BlockPlace()-1
	if b == nil {
		if x.blocks == nil {
			x.blocks = make(map[broker.ID]*block)
		}
		b = &block{name: Name(*id)}
		x.blocks[b.name], x.last = b, b
	}
	if at >= len(b.places) {
		// Those of a block come in order, and many blocks are small.
		places := make([]uint32, min(max(at+1, 4*len(b.places), 4), broker.BlockSize))
		copy(places, b.places)
		b.places = places
	}
	if b.places[at] == 0 {
		b.n++
	}
	b.places[at] = place + 1
}

// Drop forgets an id, if it is known.
func (x *Index) Drop(id *broker.ID) {
	b, at := x.find(id), id.BlockPlace()-1
	if b == nil || at >= len(b.places) || b.places[at] == 0 {
		return
	}
	b.places[at] = 0
	if b.n--; b.n == 0 {
		delete(x.blocks, b.name)
		x.last = nil
	}
}

// All returns the places that ids lead to, in no order.
func (x *Index) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, b := range x.blocks {
			for _, place := range b.places {
				if place != 0 && !yield(place-1) {
					return
				}
			}
		}
	}
}
