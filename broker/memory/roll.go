package memory

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/idblock"
)

// roll is a hash table of what a shard knows of tasks. It is made for tables of
// millions, most of them tombstones, where a look-up costs what it misses in the
// cache: a probe reads one small slot and, only if that fits, one entry. Neither
// has pointers for the garbage collector to follow, and of ids in blocks there are a
// few for each block.
type roll struct {
	blocks idblock.Index // of ids that are in one
	slots  []slot        // of the others; their number is a power of two, at most 3/4 of them are in use
	alone  int           // how many are

	pages [][]entry // of pageSize entries each, which stay where they are until the roll is rebuilt
	used  uint32    // entries that are, or were, in use
	free  uint32    // the first of those that were, plus one; entry.live leads to the next
	n     int       // entries in use
	live  []*record // of the entries that have one
	spare []uint32  // places in live that have none
}

// slot is the hash of an id and, plus one, where its entry is; 0 is a free slot.
type slot uint64

// entry is what is known of a task: its record or, once it is final and no dead
// letter, a tombstone.
type entry struct {
	id broker.ID
	tombstone
	live uint32 // place in roll.live, plus one; 0 if it is a tombstone
}

const (
	pageSize  = 32
	firstSize = 16   // of slots
	rollSlack = 1024 // a roll that never had more isn't worth rebuilding
)

// A secret, since ids come from outside.
var secret = [2]uint64{rand.Uint64(), rand.Uint64()}

func hash(id *broker.ID) uint32 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^secret[0], binary.LittleEndian.Uint64(id[8:])^secret[1])
	return uint32(hi ^ lo)
}

func (s slot) hash() uint32  { return uint32(s >> 32) }
func (s slot) place() uint32 { return uint32(s) - 1 }

func (l *roll) at(i uint32) *entry { return &l.pages[i/pageSize][i%pageSize] }

// get returns the entry of an id, nil if there is none. It is valid until the
// next add or drop.
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

// seek returns the slot of an id.
func (l *roll) seek(id *broker.ID) (at uint32, ok bool) {
	h, mask := hash(id), uint32(len(l.slots)-1)
	for at = h & mask; l.slots[at] != 0; at = (at + 1) & mask {
		if s := l.slots[at]; s.hash() == h && l.at(s.place()).id == *id {
			return at, true
		}
	}
	return at, false
}

// add adds the entry of a record whose id has none.
func (l *roll) add(r *record) {
	r.entry = l.enter(r.id)
	r.entry.live = l.keep(r)
}

// enter returns a new entry.
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

// insert notes where an entry is.
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

// keep returns where a record is kept in live, plus one.
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

// record returns the record of an entry, nil if it is a tombstone.
func (l *roll) record(e *entry) *record {
	if e.live == 0 {
		return nil
	}
	return l.live[e.live-1]
}

// bury puts a tombstone in the place of an entry's record, if it has one.
func (l *roll) bury(e *entry, t tombstone) {
	if r := l.record(e); r != nil {
		r.entry = nil
		l.live[e.live-1] = nil
		l.spare = append(l.spare, e.live-1)
	}
	e.tombstone, e.live = t, 0
}

// drop removes the entry of an id, which has one.
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

// unlink lets an id lead nowhere, and returns where it led.
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
	// Whatever was put behind its own slot because of this one moves up.
	mask := uint32(len(l.slots) - 1)
	for next := (at + 1) & mask; l.slots[next] != 0; next = (next + 1) & mask {
		if home := l.slots[next].hash() & mask; (next-home)&mask >= (next-at)&mask {
			l.slots[at], at = l.slots[next], next
		}
	}
	l.slots[at] = 0
	return place, true
}

// rebuild gives back the memory that is not used any more. What it costs is paid
// for by the seven entries dropped for each one that is copied.
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
