package client

import (
	"hash/maphash"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/idblock"
)

// The table finds entries by task id. That is a hash table made for the purpose, because every
// task passes through it four times, and most entries belong to tasks that nobody waits for. A
// look-up reads one small slot and, only if the hash there fits, one entry. Entries never move,
// and live in pages of 64, so the garbage collector has few objects to look at. Ids from a
// block of consecutive ids (see broker.Block) are not hashed one by one: package idblock finds
// their positions through the block.

// directory finds entries by id.
type directory struct {
	blocks idblock.Index // positions of entries whose ids are in a block
	slots  []slot // the others, hashed; the length is a power of two, and at most 3/4 are in use
	alone  int // slots in use

	// pages has the pages by number, nil where a page was released. gaps has the numbers of
	// released pages.
	pages []*page
	// roomy is the first page with a free entry. The others follow through page.roomy.
	roomy *page
	gaps  []uint32
	empty int // pages without an entry in use
	n     int // entries in use
}

// slot is one slot of the hash table: the low half of a hash, and the position of the entry
// plus one. 0 is a free slot.
type slot uint64

// page is a block of entries that are allocated together.
type page struct {
	entries [pageSize]entry
	at      uint32 // index in directory.pages
	used    int // entries in use
	free    *entry // the first free entry; the others follow through entry.next
	roomy   *page // the next page with a free entry
	listed  bool // it is in the list that begins with directory.roomy
}

const (
	pageSize   = 64
	firstSlots = 64
	emptyPages = 64 // this many are kept when no entry of them is in use
)

// seed makes hashes unpredictable: ids come from outside, and nobody may be able to choose ids
// that collide.
var seed = maphash.MakeSeed()

// hash returns the hash of an id.
func hash(id *broker.ID) uint32 { return uint32(maphash.Comparable(seed, *id)) }

// hash and place return the parts of a slot.
func (s slot) hash() uint32  { return uint32(s >> 32) }
func (s slot) place() uint32 { return uint32(s) - 1 }

// at returns the entry at a position.
func (d *directory) at(place uint32) *entry { return &d.pages[place/pageSize].entries[place%pageSize] }

// get returns the entry of an id, nil if there is none.
func (d *directory) get(id broker.ID) *entry {
	e, _ := d.find(id)
	return e
}

// find returns the entry of an id, and where removeAt finds it: its position if the id is in a
// block, otherwise its slot. Both hold until the next change.
func (d *directory) find(id broker.ID) (e *entry, at uint32) {
	if idblock.Has(&id) {
		at, ok := d.blocks.Get(&id)
		if !ok {
			return nil, 0
		}
		return d.at(at), at
	}
	if d.alone == 0 {
		return nil, 0
	}
	at, ok := d.seek(&id, hash(&id))
	if !ok {
		return nil, 0
	}
	return d.at(d.slots[at].place()), at
}

// seek returns the slot of an id. If ok is false it returns the free slot where the id would
// be.
func (d *directory) seek(id *broker.ID, h uint32) (at uint32, ok bool) {
	mask := uint32(len(d.slots) - 1)
	for at = h & mask; d.slots[at] != 0; at = (at + 1) & mask {
		if s := d.slots[at]; s.hash() == h && d.at(s.place()).id == *id {
			return at, true
		}
	}
	return at, false
}

// enter returns the entry of an id, and makes one if there is none. A fresh entry is zero
// except for its id and its kind, which is unknownKind.
func (d *directory) enter(id broker.ID) (e *entry, fresh bool) {
	if idblock.Has(&id) {
		if place, ok := d.blocks.Get(&id); ok {
			return d.at(place), false
		}
		e, place := d.take()
		e.id, e.of = id, unknownKind
		d.blocks.Put(&id, place)
		d.n++
		return e, true
	}
	// A lone id. The table grows before it is full to three quarters, so that probes stay
	// short.
	if 4*(d.alone+1) > 3*len(d.slots) {
		d.resize(max(2*len(d.slots), firstSlots))
	}
	h := hash(&id)
	at, ok := d.seek(&id, h)
	if ok {
		return d.at(d.slots[at].place()), false
	}
	e, place := d.take()
	e.id, e.of = id, unknownKind
	d.slots[at] = slot(h)<<32 | slot(place+1)
	d.alone++
	d.n++
	return e, true
}

// remove removes an entry and makes it zero.
func (d *directory) remove(e *entry) {
	if known, at := d.find(e.id); known == e {
		d.removeAt(e, at)
	}
}

// removeAt is remove for an entry whose location find has returned.
func (d *directory) removeAt(e *entry, at uint32) {
	d.n--
	if idblock.Has(&e.id) {
		d.blocks.Drop(&e.id)
		d.give(d.pages[at/pageSize], e)
		return
	}
	p := d.pages[d.slots[at].place()/pageSize]
	d.alone--
	// Entries that were put behind their own slots because of this one move up.
	mask := uint32(len(d.slots) - 1)
	for next := (at + 1) & mask; d.slots[next] != 0; next = (next + 1) & mask {
		if home := d.slots[next].hash() & mask; (next-home)&mask >= (next-at)&mask {
			d.slots[at], at = d.slots[next], next
		}
	}
	d.slots[at] = 0
	// Shrinking by a factor of four leaves the table a quarter full, so that it does not grow
	// again at once.
	if len(d.slots) > firstSlots && 16*d.alone < len(d.slots) {
		d.resize(len(d.slots) / 4)
	}
	d.give(p, e)
}

// resize rehashes into a table of another size.
func (d *directory) resize(size int) {
	old := d.slots
	d.slots = make([]slot, max(size, firstSlots))
	mask := uint32(len(d.slots) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		at := s.hash() & mask
		for d.slots[at] != 0 {
			at = (at + 1) & mask
		}
		d.slots[at] = s
	}
}

// take returns an unused entry and its position.
func (d *directory) take() (*entry, uint32) {
	// Full pages leave the list only here, when one is found at its front.
	for d.roomy != nil && d.roomy.free == nil {
		p := d.roomy
		d.roomy, p.roomy, p.listed = p.roomy, nil, false
	}
	if d.roomy == nil {
		d.grow()
	}
	p := d.roomy
	e := p.free
	p.free, e.next = e.next, nil
	if p.used == 0 {
		d.empty--
	}
	p.used++
	return e, p.at*pageSize + uint32(e.slot)
}

// grow adds a page.
func (d *directory) grow() {
	p := &page{at: uint32(len(d.pages))}
	if n := len(d.gaps); n > 0 {
		p.at, d.gaps = d.gaps[n-1], d.gaps[:n-1]
		d.pages[p.at] = p
	} else {
		d.pages = append(d.pages, p)
	}
	// Backwards, so that entries are handed out in their order in memory.
	for i := pageSize - 1; i >= 0; i-- {
		e := &p.entries[i]
		e.slot = uint8(i)
		e.next, p.free = p.free, e
	}
	d.empty++
	d.roomy, p.listed = p, true
}

// give returns an entry to its page. If many pages are empty, they are released.
func (d *directory) give(p *page, e *entry) {
	*e = entry{slot: e.slot, next: p.free}
	p.free = e
	p.used--
	if p.used == 0 {
		d.empty++
	}
	// The page has room again.
	if !p.listed {
		p.listed, p.roomy, d.roomy = true, d.roomy, p
	}
	if d.empty > emptyPages {
		d.shrink()
	}
}

// shrink releases all pages without an entry in use.
func (d *directory) shrink() {
	var first *page
	// A page without entries has room, so the list has all of them.
	for p := d.roomy; p != nil; {
		next := p.roomy
		if p.used > 0 {
			p.roomy, first = first, p
		} else {
			d.pages[p.at] = nil
			d.gaps = append(d.gaps, p.at)
		}
		p = next
	}
	d.roomy, d.empty = first, 0
}
