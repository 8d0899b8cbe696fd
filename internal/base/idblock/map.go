package idblock

import (
	"iter"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
)

// Map is a map with ids as keys. The ids of a block share one entry of a Go map, and one
// look-up there serves successive ids of the same block, which is the usual order. Other ids
// are in a Go map of their own. A Map frees the memory of ids that were dropped. The zero
// Map is ready to use, by one goroutine at a time.
type Map[V any] struct {
	lone   shrinkmap.Map[broker.ID, V] // the ids that are in no block
	blocks shrinkmap.Map[broker.ID, *block[V]]
	n      int       // number of ids in blocks
	name   broker.ID // the name of the block that was last looked for
	last   *block[V] // that block; nil if there is none
}

// block has the values of the ids of one block.
type block[V any] struct {
	name   broker.ID // see Name
	stored uint64    // a bit for each position: whether it has a value
	values []V       // by position; at and behind the end, no position has a value
}

// bit returns the bit of block.stored for an index in block.values.
func bit(at int) uint64 { return 1 << at }

// Len returns the number of ids.
func (m *Map[V]) Len() int { return m.lone.Len() + m.n }

// find returns the block of an id, or nil, and the index of the id in block.values.
func (m *Map[V]) find(id broker.ID) (b *block[V], at int) {
	at = id.BlockPosition() - 1
	name := Name(id)
	if m.name != name {
		m.name = name
		m.last, _ = m.blocks.Get(name)
	}
	return m.last, at
}

// Get returns the value of an id, and whether the map has the id.
func (m *Map[V]) Get(id broker.ID) (v V, ok bool) {
	if !Has(id) {
		return m.lone.Get(id)
	}
	b, at := m.find(id)
	if b == nil || b.stored&bit(at) == 0 {
		return v, false
	}
	return b.values[at], true
}

// Put sets the value of an id.
func (m *Map[V]) Put(id broker.ID, v V) {
	if !Has(id) {
		m.lone.Put(id, v)
		return
	}
	b, at := m.find(id)
	if b == nil {
		b = &block[V]{name: Name(id)}
		m.blocks.Put(b.name, b)
		m.last = b
	}
	if at >= len(b.values) {
		// The ids of a block come in order, and many blocks are small. So the slice grows in
		// steps.
		values := make([]V, min(max(at+1, 4*len(b.values), 4), broker.BlockSize))
		copy(values, b.values)
		b.values = values
	}
	if b.stored&bit(at) == 0 {
		b.stored |= bit(at)
		m.n++
	}
	b.values[at] = v
}

// Drop removes an id, if the map has it.
func (m *Map[V]) Drop(id broker.ID) {
	if !Has(id) {
		m.lone.Drop(id)
		return
	}
	b, at := m.find(id)
	if b == nil || b.stored&bit(at) == 0 {
		return
	}
	var zero V
	b.values[at] = zero
	b.stored &^= bit(at)
	m.n--
	if b.stored == 0 {
		m.blocks.Drop(b.name)
		m.last = nil
	}
}

// All returns the values, in no particular order.
func (m *Map[V]) All() iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, v := range m.lone.All() {
			if !yield(v) {
				return
			}
		}
		for _, b := range m.blocks.All() {
			for at, v := range b.values {
				if b.stored&bit(at) != 0 && !yield(v) {
					return
				}
			}
		}
	}
}
