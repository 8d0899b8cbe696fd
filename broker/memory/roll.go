package memory

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/idblock"
)

// roll is the hash table of a shard's tasks, from ids to entries. It is built for millions
// of entries, most of them tombstones, where a look-up costs about as much as its cache
// misses. A look-up reads one small slot and, only if the hash fits, one entry. Neither has
// pointers for the garbage collector to follow. The ids of a block (broker.Block) share one
// index entry.
type roll struct {
	blocks idblock.Index // index of the ids in blocks
	slots  []slot        // open-addressing index of the other ids; a power of two, filled to 3/4 at most
	alone  int           // number of used slots

	pages [][]entry // the entries, pageSize each; an entry stays where it is until the roll is rebuilt
	used  uint32    // number of entries that are in use or were
	free  uint32    // index plus one of the first free entry; entry.live links to the next
	n     int       // number of entries in use
	live  []*record // records of the entries that have one
	spare []uint32  // free indexes of live
}

// slot holds the hash of an id in its upper half, and the index of the entry plus one in
// its lower half. 0 is a free slot.
type slot uint64

// entry is the data of a task: its record or, once it is final and no dead letter, a
// tombstone.
type entry struct {
	id broker.ID
	tombstone
	live uint32 // index in roll.live plus one; 0 if it is a tombstone
}

const (
	pageSize  = 32
	firstSize = 16   // number of slots at the beginning
	rollSlack = 1024 // a roll with fewer entries is not worth rebuilding
)

// secret is mixed into hashes, because ids come from outside and could be chosen to
// collide.
var secret = [2]uint64{rand.Uint64(), rand.Uint64()}

func hash(id *broker.ID) uint32 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^secret[0], binary.LittleEndian.Uint64(id[8:])^secret[1])
	return uint32(hi ^ lo)
}

func (s slot) hash() uint32  { return uint32(s >> 32) }
func (s slot) place() uint32 { return uint32(s) - 1 }

func (l *roll) at(i uint32) *entry { return &l.pages[i/pageSize][i%pageSize] }

// get returns the entry of an id, or nil. It is valid until the next add or drop.
func (l *roll) get(id broker.ID) *entry {
	if idblock.Has(&id) {
		if at, ok := l.blocks.Get(&id); ok {
			return l.at(at)
		}
		return nil
	}
	if l.alone == 0 {
		return nil
	}
	if at, ok := l.seek(&id); ok {
		return l.at(l.slots[at].place())
	}
	return nil
}

// seek returns the index of the slot of an id, and whether there is one.
func (l *roll) seek(id *broker.ID) (at uint32, ok bool) {
	h, mask := hash(id), uint32(len(l.slots)-1)
	for at = h & mask; l.slots[at] != 0; at = (at + 1) & mask {
		if s := l.slots[at]; s.hash() == h && l.at(s.place()).id == *id {
			return at, true
		}
	}
	return at, false
}

// add adds an entry for a record whose id has none.
func (l *roll) add(r *record) {
	r.entry = l.enter(r.id)
	r.entry.live = l.keep(r)
}

// enter returns a new entry for an id.
func (l *roll) enter(id broker.ID) *entry {
	i := l.free - 1
	if l.free != 0 {
		l.free = l.at(i).live
	} else {
		i = l.used
		if l.used++; i%pageSize == 0 {
			l.pages = append(l.pages, make([]entry, pageSize))
		}
	}
	l.n++
	if idblock.Has(&id) {
		l.blocks.Put(&id, i)
	} else {
		if 4*(l.alone+1) > 3*len(l.slots) {
			l.resize(max(2*len(l.slots), firstSize))
		}
		l.alone++
		l.insert(hash(&id), i)
	}
	e := l.at(i)
	*e = entry{id: id}
	return e
}

// insert stores the index of an entry in a slot.
func (l *roll) insert(h, place uint32) {
	mask := uint32(len(l.slots) - 1)
	at := h & mask
	for l.slots[at] != 0 {
		at = (at + 1) & mask
	}
	l.slots[at] = slot(h)<<32 | slot(place+1)
}

func (l *roll) resize(size int) {
	old := l.slots
	l.slots = make([]slot, size)
	for _, s := range old {
		if s != 0 {
			l.insert(s.hash(), s.place())
		}
	}
}

// keep stores a record in live and returns its index plus one.
func (l *roll) keep(r *record) uint32 {
	if n := len(l.spare); n > 0 {
		at := l.spare[n-1]
		l.spare = l.spare[:n-1]
		l.live[at] = r
		return at + 1
	}
	l.live = append(l.live, r)
	return uint32(len(l.live))
}

// record returns the record of an entry, or nil if it is a tombstone.
func (l *roll) record(e *entry) *record {
	if e.live == 0 {
		return nil
	}
	return l.live[e.live-1]
}

// bury turns an entry into a tombstone.
func (l *roll) bury(e *entry, t tombstone) {
	if r := l.record(e); r != nil {
		r.entry = nil
		l.live[e.live-1] = nil
		l.spare = append(l.spare, e.live-1)
	}
	e.tombstone, e.live = t, 0
}

// drop removes the entry of an id, if it has one.
func (l *roll) drop(id broker.ID) {
	i, ok := l.unlink(&id)
	if !ok {
		return
	}
	e := l.at(i)
	l.bury(e, tombstone{})
	*e = entry{live: l.free}
	l.free = i + 1
	l.n--
	if l.used >= rollSlack && l.n <= int(l.used)/8 {
		l.rebuild()
	}
}

// unlink removes an id from the index, and returns the index of its entry.
func (l *roll) unlink(id *broker.ID) (place uint32, ok bool) {
	if idblock.Has(id) {
		place, ok = l.blocks.Get(id)
		l.blocks.Drop(id)
		return place, ok
	}
	if l.alone == 0 {
		return 0, false
	}
	at, ok := l.seek(id)
	if !ok {
		return 0, false
	}
	place = l.slots[at].place()
	l.alone--
	// The entries behind it that it had displaced move up.
	mask := uint32(len(l.slots) - 1)
	for next := (at + 1) & mask; l.slots[next] != 0; next = (next + 1) & mask {
		if home := l.slots[next].hash() & mask; (next-home)&mask >= (next-at)&mask {
			l.slots[at], at = l.slots[next], next
		}
	}
	l.slots[at] = 0
	return place, true
}

// rebuild frees unused memory. It runs after seven entries were dropped for each one that
// it copies, so its cost per dropped entry is small.
func (l *roll) rebuild() {
	old := *l
	*l = roll{}
	keep := func(place uint32) {
		if e := old.at(place); e.live != 0 {
			l.add(old.record(e))
		} else {
			l.enter(e.id).tombstone = e.tombstone
		}
	}
	for _, s := range old.slots {
		if s != 0 {
			keep(s.place())
		}
	}
	for place := range old.blocks.All() {
		keep(place)
	}
}
