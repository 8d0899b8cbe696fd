package memory

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/idblock"
)

// taskTable is the hash table of a shard's tasks, from ids to entries. It is built for millions
// of entries, most of them tombstones, where a look-up costs about as much as its cache
// misses. A look-up reads one small slot and, only if the hash fits, one entry. Neither has
// pointers for the garbage collector to follow. The ids of a block (broker.Block) share one
// index entry.
type taskTable struct {
	blocks    idblock.Index // index of the ids in blocks
	slots     []slot        // open-addressing index of the other ids; a power of two, filled to 3/4 at most
	slotsUsed int           // number of used slots

	pages       [][]entry // the entries, pageSize each; an entry stays where it is until the table is rebuilt
	used        uint32    // number of entries that are in use or were
	free        uint32    // index plus one of the first free entry; entry.recordAt links to the next
	n           int       // number of entries in use
	records     []*record // records of the entries that have one
	freeRecords []uint32  // free indexes of records
}

// slot holds the hash of an id in its upper half, and the index of the entry plus one in
// its lower half. 0 is a free slot.
type slot uint64

// entry is the data of a task: its record or, once it is final and no dead letter, a
// tombstone.
type entry struct {
	id broker.ID
	tombstone
	recordAt uint32 // index in taskTable.records plus one; 0 if it is a tombstone
}

const (
	pageSize       = 32
	firstSize      = 16   // number of slots at the beginning
	taskTableSlack = 1024 // a table with fewer entries is not worth rebuilding
)

// secret is mixed into hashes, because ids come from outside and could be chosen to
// collide.
var secret = [2]uint64{rand.Uint64(), rand.Uint64()}

func hash(id *broker.ID) uint32 {
	hi, lo := bits.Mul64(binary.LittleEndian.Uint64(id[:8])^secret[0], binary.LittleEndian.Uint64(id[8:])^secret[1])
	return uint32(hi ^ lo)
}

func (s slot) hash() uint32    { return uint32(s >> 32) }
func (s slot) entryAt() uint32 { return uint32(s) - 1 }

func (l *taskTable) at(i uint32) *entry { return &l.pages[i/pageSize][i%pageSize] }

// get returns the entry of an id, or nil. It is valid until the next add or drop.
func (l *taskTable) get(id broker.ID) *entry {
	if idblock.Has(&id) {
		if at, ok := l.blocks.Get(&id); ok {
			return l.at(at)
		}
		return nil
	}
	if l.slotsUsed == 0 {
		return nil
	}
	if at, ok := l.seek(&id); ok {
		return l.at(l.slots[at].entryAt())
	}
	return nil
}

// seek returns the index of the slot of an id, and whether there is one.
func (l *taskTable) seek(id *broker.ID) (at uint32, ok bool) {
	h, mask := hash(id), uint32(len(l.slots)-1)
	for at = h & mask; l.slots[at] != 0; at = (at + 1) & mask {
		if s := l.slots[at]; s.hash() == h && l.at(s.entryAt()).id == *id {
			return at, true
		}
	}
	return at, false
}

// add adds an entry for a record whose id has none.
func (l *taskTable) add(r *record) {
	r.entry = l.newEntry(r.id)
	r.entry.recordAt = l.addRecord(r)
}

// newEntry returns a new entry for an id.
func (l *taskTable) newEntry(id broker.ID) *entry {
	i := l.free - 1
	if l.free != 0 {
		l.free = l.at(i).recordAt
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
		if 4*(l.slotsUsed+1) > 3*len(l.slots) {
			l.resize(max(2*len(l.slots), firstSize))
		}
		l.slotsUsed++
		l.insert(hash(&id), i)
	}
	e := l.at(i)
	*e = entry{id: id}
	return e
}

// insert stores the index of an entry in a slot.
func (l *taskTable) insert(h, place uint32) {
	mask := uint32(len(l.slots) - 1)
	at := h & mask
	for l.slots[at] != 0 {
		at = (at + 1) & mask
	}
	l.slots[at] = slot(h)<<32 | slot(place+1)
}

func (l *taskTable) resize(size int) {
	old := l.slots
	l.slots = make([]slot, size)
	for _, s := range old {
		if s != 0 {
			l.insert(s.hash(), s.entryAt())
		}
	}
}

// addRecord stores a record in records and returns its index plus one.
func (l *taskTable) addRecord(r *record) uint32 {
	if n := len(l.freeRecords); n > 0 {
		at := l.freeRecords[n-1]
		l.freeRecords = l.freeRecords[:n-1]
		l.records[at] = r
		return at + 1
	}
	l.records = append(l.records, r)
	return uint32(len(l.records))
}

// record returns the record of an entry, or nil if it is a tombstone.
func (l *taskTable) record(e *entry) *record {
	if e.recordAt == 0 {
		return nil
	}
	return l.records[e.recordAt-1]
}

// bury turns an entry into a tombstone.
func (l *taskTable) bury(e *entry, t tombstone) {
	if r := l.record(e); r != nil {
		r.entry = nil
		l.records[e.recordAt-1] = nil
		l.freeRecords = append(l.freeRecords, e.recordAt-1)
	}
	e.tombstone, e.recordAt = t, 0
}

// drop removes the entry of an id, if it has one.
func (l *taskTable) drop(id broker.ID) {
	i, ok := l.unindex(&id)
	if !ok {
		return
	}
	e := l.at(i)
	l.bury(e, tombstone{})
	*e = entry{recordAt: l.free}
	l.free = i + 1
	l.n--
	if l.used >= taskTableSlack && l.n <= int(l.used)/8 {
		l.rebuild()
	}
}

// unindex removes an id from the index, and returns the index of its entry.
func (l *taskTable) unindex(id *broker.ID) (place uint32, ok bool) {
	if idblock.Has(id) {
		place, ok = l.blocks.Get(id)
		l.blocks.Drop(id)
		return place, ok
	}
	if l.slotsUsed == 0 {
		return 0, false
	}
	at, ok := l.seek(id)
	if !ok {
		return 0, false
	}
	place = l.slots[at].entryAt()
	l.slotsUsed--
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
func (l *taskTable) rebuild() {
	old := *l
	*l = taskTable{}
	keep := func(place uint32) {
		if e := old.at(place); e.recordAt != 0 {
			l.add(old.record(e))
		} else {
			l.newEntry(e.id).tombstone = e.tombstone
		}
	}
	for _, s := range old.slots {
		if s != 0 {
			keep(s.entryAt())
		}
	}
	for place := range old.blocks.All() {
		keep(place)
	}
}
