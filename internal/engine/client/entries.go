package client

import (
	"hash/maphash"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/idblock"
)

// The table finds entries by task id. That is a hash table made for the purpose, because every
// task passes through it four times, and most entries belong to tasks that nobody waits for. A
// look-up reads one small bucket and, only if the hash there fits, one entry. Entries never
// move, and live in pages of 64, so the garbage collector has few objects to look at. Ids from
// a block of consecutive ids (see broker.Block) are not hashed one by one: package idblock
// finds their positions through the block.

// The parts, and how they refer to each other:
//
//	blocks   id in a block ──▶ position
//	buckets  hash of other ids ──▶ position plus one, with 32 bits of the hash to compare
//	pages    position / 64 ──▶ page; position % 64 ──▶ entry
//	withRoom list of pages with free entries; each page has a list of its free entries

// entryIndex finds entries by id.
type entryIndex struct {
	blocks  idblock.Index // positions of entries whose ids are in a block
	buckets []bucket      // the others, hashed; the length is a power of two, and at most 3/4 are in use
	hashed  int           // buckets in use

	// pages has the pages by number, nil where a page was released. released has the numbers of
	// released pages.
	pages []*page
	// withRoom is the first page with a free entry. The others follow through page.withRoom.
	withRoom *page
	released []uint32
	empty    int // pages without an entry in use
	n        int // entries in use
}

// bucket is an element of the hash table: the low half of a hash, and the position of the entry
// plus one. 0 is a free bucket.
type bucket uint64

// page is a block of entries that are allocated together.
type page struct {
	entries    [pageSize]entry
	at         uint32 // index in entryIndex.pages
	used       int    // entries in use
	free       *entry // the first free entry; the others follow through entry.next
	withRoom   *page  // the next page with a free entry
	inRoomList bool   // it is in the list that begins with entryIndex.withRoom
}

const (
	pageSize     = 64
	firstBuckets = 64
	emptyPages   = 64 // this many are kept when no entry of them is in use
)

// seed makes hashes unpredictable: ids come from outside, and nobody may be able to choose ids
// that collide.
var seed = maphash.MakeSeed()

// hash returns the hash of an id.
func hash(id *broker.ID) uint32 { return uint32(maphash.Comparable(seed, *id)) }

// hash and pos return the parts of a bucket.
func (s bucket) hash() uint32 { return uint32(s >> 32) }
func (s bucket) pos() uint32  { return uint32(s) - 1 }

// at returns the entry at a position.
func (x *entryIndex) at(pos uint32) *entry { return &x.pages[pos/pageSize].entries[pos%pageSize] }

// get returns the entry of an id, nil if there is none.
func (x *entryIndex) get(id broker.ID) *entry {
	e, _ := x.find(id)
	return e
}

// find returns the entry of an id, and where removeAt finds it: its position if the id is in a
// block, otherwise its bucket. Both hold until the next change.
func (x *entryIndex) find(id broker.ID) (e *entry, at uint32) {
	if idblock.Has(&id) {
		at, ok := x.blocks.Get(&id)
		if !ok {
			return nil, 0
		}
		return x.at(at), at
	}
	if x.hashed == 0 {
		return nil, 0
	}
	at, ok := x.seek(&id, hash(&id))
	if !ok {
		return nil, 0
	}
	return x.at(x.buckets[at].pos()), at
}

// seek returns the bucket of an id. If ok is false it returns the free bucket where the id would
// be.
func (x *entryIndex) seek(id *broker.ID, h uint32) (at uint32, ok bool) {
	mask := uint32(len(x.buckets) - 1)
	for at = h & mask; x.buckets[at] != 0; at = (at + 1) & mask {
		if s := x.buckets[at]; s.hash() == h && x.at(s.pos()).id == *id {
			return at, true
		}
	}
	return at, false
}

// enter returns the entry of an id, and makes one if there is none. A fresh entry is zero
// except for its id and its label, which is unknownLabel.
func (x *entryIndex) enter(id broker.ID) (e *entry, fresh bool) {
	if idblock.Has(&id) {
		if pos, ok := x.blocks.Get(&id); ok {
			return x.at(pos), false
		}
		e, pos := x.alloc()
		e.id, e.label = id, unknownLabel
		x.blocks.Put(&id, pos)
		x.n++
		return e, true
	}
	// A lone id. The table grows before it is full to three quarters, so that probes stay
	// short.
	if 4*(x.hashed+1) > 3*len(x.buckets) {
		x.resize(max(2*len(x.buckets), firstBuckets))
	}
	h := hash(&id)
	at, ok := x.seek(&id, h)
	if ok {
		return x.at(x.buckets[at].pos()), false
	}
	e, pos := x.alloc()
	e.id, e.label = id, unknownLabel
	x.buckets[at] = bucket(h)<<32 | bucket(pos+1)
	x.hashed++
	x.n++
	return e, true
}

// remove removes an entry and makes it zero.
func (x *entryIndex) remove(e *entry) {
	if known, at := x.find(e.id); known == e {
		x.removeAt(e, at)
	}
}

// removeAt is remove for an entry whose location find has returned.
func (x *entryIndex) removeAt(e *entry, at uint32) {
	x.n--
	if idblock.Has(&e.id) {
		x.blocks.Drop(&e.id)
		x.release(x.pages[at/pageSize], e)
		return
	}
	p := x.pages[x.buckets[at].pos()/pageSize]
	x.hashed--
	// Entries that were put behind their own buckets because of this one move up.
	mask := uint32(len(x.buckets) - 1)
	for next := (at + 1) & mask; x.buckets[next] != 0; next = (next + 1) & mask {
		if home := x.buckets[next].hash() & mask; (next-home)&mask >= (next-at)&mask {
			x.buckets[at], at = x.buckets[next], next
		}
	}
	x.buckets[at] = 0
	// Shrinking by a factor of four leaves the table a quarter full, so that it does not grow
	// again at once.
	if len(x.buckets) > firstBuckets && 16*x.hashed < len(x.buckets) {
		x.resize(len(x.buckets) / 4)
	}
	x.release(p, e)
}

// resize rehashes into a table of another size.
func (x *entryIndex) resize(size int) {
	old := x.buckets
	x.buckets = make([]bucket, max(size, firstBuckets))
	mask := uint32(len(x.buckets) - 1)
	for _, s := range old {
		if s == 0 {
			continue
		}
		at := s.hash() & mask
		for x.buckets[at] != 0 {
			at = (at + 1) & mask
		}
		x.buckets[at] = s
	}
}

// alloc returns an unused entry and its position.
func (x *entryIndex) alloc() (*entry, uint32) {
	// Full pages leave the list only here, when one is found at its front.
	for x.withRoom != nil && x.withRoom.free == nil {
		p := x.withRoom
		x.withRoom, p.withRoom, p.inRoomList = p.withRoom, nil, false
	}
	if x.withRoom == nil {
		x.grow()
	}
	p := x.withRoom
	e := p.free
	p.free, e.next = e.next, nil
	if p.used == 0 {
		x.empty--
	}
	p.used++
	return e, p.at*pageSize + uint32(e.pageIndex)
}

// grow adds a page.
func (x *entryIndex) grow() {
	p := &page{at: uint32(len(x.pages))}
	if n := len(x.released); n > 0 {
		p.at, x.released = x.released[n-1], x.released[:n-1]
		x.pages[p.at] = p
	} else {
		x.pages = append(x.pages, p)
	}
	// Backwards, so that entries are handed out in their order in memory.
	for i := pageSize - 1; i >= 0; i-- {
		e := &p.entries[i]
		e.pageIndex = uint8(i)
		e.next, p.free = p.free, e
	}
	x.empty++
	x.withRoom, p.inRoomList = p, true
}

// release returns an entry to its page. If many pages are empty, they are released.
func (x *entryIndex) release(p *page, e *entry) {
	*e = entry{pageIndex: e.pageIndex, next: p.free}
	p.free = e
	p.used--
	if p.used == 0 {
		x.empty++
	}
	// The page has room again.
	if !p.inRoomList {
		p.inRoomList, p.withRoom, x.withRoom = true, x.withRoom, p
	}
	if x.empty > emptyPages {
		x.shrink()
	}
}

// shrink releases all pages without an entry in use.
func (x *entryIndex) shrink() {
	var first *page
	// A page without entries has room, so the list has all of them.
	for p := x.withRoom; p != nil; {
		next := p.withRoom
		if p.used > 0 {
			p.withRoom, first = first, p
		} else {
			x.pages[p.at] = nil
			x.released = append(x.released, p.at)
		}
		p = next
	}
	x.withRoom, x.empty = first, 0
}
