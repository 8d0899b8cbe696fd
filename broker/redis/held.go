package redis

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/idblock"
)

// held is what a consumer was handed out and has not settled.
type held struct {
	alone  map[broker.ID]holding
	blocks map[broker.ID]*heldBlock // by idblock.Name
	last   *heldBlock               // the one that was asked for last: the next is often the same
	count  int
	apart  int // how many are kept apart
}

// holding is one task that is held.
type holding struct {
	attempt uint32
	apart   bool // its record is kept apart
	keys    *keys
}

// heldBlock is what is held of a block of ids: it costs less than as many entries of
// a map.
type heldBlock struct {
	name     broker.ID
	keys     *keys
	attempts [broker.BlockSize]uint32
	held     uint64 // which are, as bits
	apart    uint64 // and of these, which are kept apart
}

func newHeld() held {
	return held{alone: make(map[broker.ID]holding), blocks: make(map[broker.ID]*heldBlock)}
}

// get returns what is known of a task, if it is held.
func (h *held) get(id broker.ID) (holding, bool) {
	if b, bit := h.at(id); b != nil {
		return holding{b.attempts[bit], b.apart>>bit&1 == 1, b.keys}, true
	}
	one, ok := h.alone[id]
	return one, ok
}

// at returns the block where a task is noted, and where in it; nil if it is noted in
// none.
func (h *held) at(id broker.ID) (b *heldBlock, bit int) {
	bit = id.BlockPlace() - 1
	if bit < 0 {
		return nil, 0
	}
	if b = h.block(id); b == nil || b.held>>bit&1 == 0 {
		return nil, 0
	}
	return b, bit
}

// block returns what is held of the block of an id, nil if nothing is.
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

// put notes a task, in place of what was known of it.
func (h *held) put(id broker.ID, one holding) {
	h.drop(id)
	h.count++
	if one.apart {
		h.apart++
	}
	bit := id.BlockPlace() - 1
	if bit < 0 {
		h.alone[id] = one
		return
	}
	b := h.block(id)
	if b == nil {
		b = &heldBlock{name: idblock.Name(id), keys: one.keys}
		h.blocks[b.name], h.last = b, b
	}
	if b.keys != one.keys { // an id can be made up
		h.alone[id] = one
		return
	}
	b.attempts[bit] = one.attempt
	b.held |= 1 << bit
	if one.apart {
		b.apart |= 1 << bit
	}
}

// drop forgets a task, if it is held.
func (h *held) drop(id broker.ID) {
	one, ok := h.get(id)
	if !ok {
		return
	}
	h.count--
	if one.apart {
		h.apart--
	}
	b, bit := h.at(id)
	if b == nil {
		delete(h.alone, id)
		return
	}
	b.held &^= 1 << bit
	b.apart &^= 1 << bit
	if b.held == 0 {
		delete(h.blocks, b.name)
		h.last = nil
	}
}

// in reports whether something is held of a place.
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
