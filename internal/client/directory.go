package client

import (
	"hash/maphash"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/idblock"
)

// directory leads from ids to entries. It is a hash table of its own, since
// every task passes here four times and most entries are those of tasks that
// nobody waits for: a probe reads one small slot and, only if that fits, one
// entry. Entries stay where they are, and are in pages, so there are few things
// for the garbage collector to look at.
type directory struct {
	blocks idblock.Index // of ids that are in one
	slots  []slot        // of the others; their number is a power of two, at most 3/4 of them are in use
	alone  int           // how many are

	pages []*page // nil if it was given back
	roomy *page   // the first of those that have a free entry
	gaps  []uint32
	empty int // pages without an entry
	n     int
}

// slot is the low half of a hash and, plus one, where its entry is; 0 is a free
// slot.
type slot uint64

// page is some entries.
type page struct {
	entries [pageSize]entry
	at      uint32 // in directory.pages
	used    int
	free    *entry // the first that is free, through their next
	roomy   *page
	listed  bool // it is among those with room
}

const (
	pageSize   = 64
	firstSlots = 64
	emptyPages = 64 // are kept
)

var seed = maphash.MakeSeed() // ids come from outside

func hash(id *broker.ID) uint32 { return uint32(maphash.Comparable(seed, *id)) }

func (s slot) hash() uint32  { return uint32(s >> 32) }
func (s slot) place() uint32 { return uint32(s) - 1 }

func (d *directory) at(place uint32) *entry { return &d.pages[place/pageSize].entries[place%pageSize] }

// get returns the entry of an id, nil if there is none.
func (d *directory) get(id broker.ID) *entry {
	e, _ := d.find(id)
	return e
}

// find is get that also says where it is: its place, or if it is alone its slot. That
// holds until the next change.
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

// seek returns the slot of an id, or the one where it would be.
func (d *directory) seek(id *broker.ID, h uint32) (at uint32, ok bool) {
	mask := uint32(len(d.slots) - 1)
	for at = h & mask; d.slots[at] != 0; at = (at + 1) & mask {
		if s := d.slots[at]; s.hash() == h && d.at(s.place()).id == *id {
			return at, true
		}
	}
	return at, false
}

// enter returns the entry of an id, and whether there was none: then it is zero
// but for the id, and its kind is not known.
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

// remove forgets an entry, and makes it zero.
func (d *directory) remove(e *entry) {
	if known, at := d.find(e.id); known == e {
		d.removeAt(e, at)
	}
}

// removeAt is remove of an entry that find has found there.
func (d *directory) removeAt(e *entry, at uint32) {
	d.n--
	if idblock.Has(&e.id) {
		d.blocks.Drop(&e.id)
		d.give(d.pages[at/pageSize], e)
		return
	}
	p := d.pages[d.slots[at].place()/pageSize]
	d.alone--
	// Whatever was put behind its own slot because of this one moves up.
	mask := uint32(len(d.slots) - 1)
	for next := (at + 1) & mask; d.slots[next] != 0; next = (next + 1) & mask {
		if home := d.slots[next].hash() & mask; (next-home)&mask >= (next-at)&mask {
			d.slots[at], at = d.slots[next], next
		}
	}
	d.slots[at] = 0
	if len(d.slots) > firstSlots && 16*d.alone < len(d.slots) {
		d.resize(len(d.slots) / 4)
	}
	d.give(p, e)
}

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

// take returns an entry that is not in use, and its place.
func (d *directory) take() (*entry, uint32) {
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
	for i := pageSize - 1; i >= 0; i-- {
		e := &p.entries[i]
		e.slot = uint8(i)
		e.next, p.free = p.free, e
	}
	d.empty++
	d.roomy, p.listed = p, true
}

// give takes back an entry of a page. What is empty for good goes.
func (d *directory) give(p *page, e *entry) {
	*e = entry{slot: e.slot, next: p.free}
	p.free = e
	p.used--
	if p.used == 0 {
		d.empty++
	}
	if !p.listed {
		p.listed, p.roomy, d.roomy = true, d.roomy, p
	}
	if d.empty > emptyPages {
		d.shrink()
	}
}

// shrink drops the pages without an entry.
func (d *directory) shrink() {
	var first *page
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
