// Package idblock stores a number for each task id. It is made for ids that come in blocks, see
// [broker.Block]: ids of one block share an entry of the map, and one look-up in the map serves
// successive ids of the same block, which is the usual order.
package idblock

import (
	"iter"

	"github.com/go-arbiter/arbiter/broker"
)

// Index maps ids to numbers, such as indexes of a table of the caller. It is for ids in blocks
// only. The zero Index is ready to use, by one goroutine at a time.
type Index struct {
	blocks map[broker.ID]*block
	last   *block // the block of the last look-up; nil if there was none
}

type block struct {
	name   broker.ID
	n      int      // how many of values are set
	values []uint32 // indexed by position in the block: the number plus one, or 0 if none is stored
}

// Has reports whether an id is in a block, so that an Index can store it.
func Has(id *broker.ID) bool { return id.BlockPosition() != 0 }

// Name returns the id that stands for the whole block of id. No task has it.
func Name(id broker.ID) broker.ID { return id.AtPosition(0xff) }

// find returns the block of an id, or nil.
func (x *Index) find(id *broker.ID) *block {
	if b := x.last; b != nil && b.name == Name(*id) {
		return b
	}
	b := x.blocks[Name(*id)]
	if b != nil {
		x.last = b
	}
	return b
}

// Get returns the number that was stored for an id.
func (x *Index) Get(id *broker.ID) (value uint32, ok bool) {
	b, at := x.find(id), id.BlockPosition()-1
	if b == nil || at >= len(b.values) || b.values[at] == 0 {
		return 0, false
	}
	return b.values[at] - 1, true
}

// Put stores a number for an id. It must be less than 1<<32-1.
func (x *Index) Put(id *broker.ID, value uint32) {
	b, at := x.find(id), id.BlockPosition()-1
	if b == nil {
		if x.blocks == nil {
			x.blocks = make(map[broker.ID]*block)
		}
		b = &block{name: Name(*id)}
		x.blocks[b.name], x.last = b, b
	}
	if at >= len(b.values) {
		// The ids of a block come in order, and many blocks are small. So the slice grows in steps.
		values := make([]uint32, min(max(at+1, 4*len(b.values), 4), broker.BlockSize))
		copy(values, b.values)
		b.values = values
	}
	if b.values[at] == 0 {
		b.n++
	}
	b.values[at] = value + 1
}

// Drop removes an id, if it is stored.
func (x *Index) Drop(id *broker.ID) {
	b, at := x.find(id), id.BlockPosition()-1
	if b == nil || at >= len(b.values) || b.values[at] == 0 {
		return
	}
	b.values[at] = 0
	if b.n--; b.n == 0 {
		delete(x.blocks, b.name)
		x.last = nil
	}
}

// All returns the stored numbers in no particular order.
func (x *Index) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, b := range x.blocks {
			for _, value := range b.values {
				if value != 0 && !yield(value-1) {
					return
				}
			}
		}
	}
}
