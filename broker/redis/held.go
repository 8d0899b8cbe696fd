package redis

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/idblock"
)

// This file is the table of the tasks that a consumer holds, which are those that it was
// handed and has neither settled nor given back.
//
// The table is looked up with every delivery, settlement and cancel, so it must be cheap.
// Tasks that were sent together have ids in blocks of up to 64 and mostly come together, too.
// So the table has one record for a block (heldBlock), with an array and bit sets
// over the positions in the block, which costs less than 64 entries of a map. Other tasks are
// in a map (alone).

// held is the table. Its user synchronizes access.
type held struct {
	alone  map[broker.ID]holding    // tasks that are in no heldBlock
	blocks map[broker.ID]*heldBlock // by idblock.Name
	last   *heldBlock               // the block that was found last; the next one is often the same
	count  int                      // how many tasks are held
	large  int                      // how many of these have a large record
}

// holding is a task that is held.
type holding struct {
	attempt uint32
	large   bool  // it has a large record
	keys    *keys // of its partition
}

// heldBlock is the held tasks of one block of ids, all in one partition. Bits and array
// elements are indexed by the position in the block less one.
type heldBlock struct {
	name     broker.ID
	keys     *keys
	attempts [broker.BlockSize]uint32
	held     uint64 // the tasks that are held, as bits
	large    uint64 // those of them that have a large record
}

func newHeld() held {
	return held{alone: make(map[broker.ID]holding), blocks: make(map[broker.ID]*heldBlock)}
}

// get returns a task, and whether it is held.
func (h *held) get(id broker.ID) (holding, bool) {
	if b, bit := h.at(id); b != nil {
		return holding{b.attempts[bit], b.large>>bit&1 == 1, b.keys}, true
	}
	one, ok := h.alone[id]
	return one, ok
}

// at returns the heldBlock that has a task, and the task's bit in it; nil if no heldBlock has it.
func (h *held) at(id broker.ID) (b *heldBlock, bit int) {
	bit = id.BlockPosition() - 1
	if bit < 0 {
		return nil, 0
	}
	if b = h.block(id); b == nil || b.held>>bit&1 == 0 {
		return nil, 0
	}
	return b, bit
}

// block returns the heldBlock for an id; nil if there is none.
func (h *held) block(id broker.ID) *heldBlock {
	name := idblock.Name(id)
	if h.last != nil && h.last.name == name {
		return h.last
	}
	b := h.blocks[name]
	if b != nil {
		h.last = b
	}
	return b
}

// put adds a task, or replaces it if it is held.
func (h *held) put(id broker.ID, one holding) {
	h.drop(id)
	h.count++
	if one.large {
		h.large++
	}
	bit := id.BlockPosition() - 1
	if bit < 0 {
		h.alone[id] = one
		return
	}
	b := h.block(id)
	if b == nil {
		b = &heldBlock{name: idblock.Name(id), keys: one.keys}
		h.blocks[b.name], h.last = b, b
	}
	if b.keys != one.keys { // ids of one block belong to one partition, unless somebody made them up
		h.alone[id] = one
		return
	}
	b.attempts[bit] = one.attempt
	b.held |= 1 << bit
	if one.large {
		b.large |= 1 << bit
	}
}

// drop removes a task, if it is held.
func (h *held) drop(id broker.ID) {
	one, ok := h.get(id)
	if !ok {
		return
	}
	h.count--
	if one.large {
		h.large--
	}
	b, bit := h.at(id)
	if b == nil {
		delete(h.alone, id)
		return
	}
	b.held &^= 1 << bit
	b.large &^= 1 << bit
	if b.held == 0 {
		delete(h.blocks, b.name)
		h.last = nil
	}
}

// in reports whether a task of partition k is held.
func (h *held) in(k *keys) bool {
	for _, one := range h.alone {
		if one.keys == k {
			return true
		}
	}
	for _, b := range h.blocks {
		if b.keys == k {
			return true
		}
	}
	return false
}
