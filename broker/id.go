package broker

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// ID identifies a task, a group, a pipe, an inbox or a minion. It is a UUIDv7 (RFC 9562)
// that carries four fields in its random bits: the kind, a hash of the queue, the
// partition, and the position in a [Block]. The comment of [BlockPrefix] has the table.
//
// Nothing else may be derived from an ID, least of all order or time. An ID is not a
// secret: IDs that were made at about the same time may differ in one byte. The zero ID
// identifies nothing.
type ID uuid.UUID

// Kind is what an [ID] identifies.
type Kind uint8

// The kinds. The values are on the wire; there is room for four.
const (
	KindTask  Kind = iota // a task
	KindGroup             // a group or squad
	KindPipe              // a pipe
	KindParty             // a minion or an arbiter's inbox
)

// The layout of an ID:
//
//	bytes 0-5    unix time in ms            (RFC 9562)
//	byte  6      0111, kind (2), queue hash bits 9-8
//	byte  7      queue hash bits 7-0
//	byte  8      10, random (6)
//	byte  9      partition, modulo their number
//	bytes 10-14  random
//	byte  15     position in a block, from 1; 0 if in none
const (
	byteKind      = 6
	byteHash      = 7
	byteVariant   = 8
	bytePartition = 9
	byteRandom    = 10
	bytePosition  = 15

	// BlockPrefix is the number of bytes at the start of an ID that all IDs of a [Block] have
	// in common.
	BlockPrefix = bytePosition

	queueHashBits = 10
	queueHashMask = 1<<queueHashBits - 1
)

// A [Block] makes up to BlockSize IDs that differ only in their position. The payloads of
// their tasks have up to BlockBytes bytes together. A larger payload has a block of its own.
const (
	BlockSize  = 64
	BlockBytes = 512 << 10
)

// NewID returns a fresh ID of a kind. Queue is the queue that the thing belongs to, or
// empty. If the queue has n partitions, the thing is in the partition with the index
// partition modulo n.
func NewID(kind Kind, queue string, partition uint8) ID {
	var id ID
	binary.BigEndian.PutUint64(id[0:8], uint64(time.Now().UnixMilli())<<16)
	hash := QueueHash(queue)
	id[byteKind] = 0x70 | byte(kind&3)<<2 | byte(hash>>8)
	id[byteHash] = byte(hash)
	// The generator of math/rand/v2 is ChaCha8, seeded by the operating system
	// and held per thread: as unpredictable as needed here, and it never blocks.
	binary.BigEndian.PutUint64(id[byteVariant:], rand.Uint64())
	id[byteVariant] = 0x80 | id[byteVariant]&0x3f
	id[bytePartition] = partition
	id[bytePosition] = 0
	return id
}

// NewTaskID returns a fresh ID for a task of a queue, without a lane. With a unique key it is in
// the partition of the key, see [KeyPartition]; without one in any partition. [Task.NewID] is for
// any task.
func NewTaskID(queue, unique string) ID {
	if unique == "" {
		return NewID(KindTask, queue, uint8(rand.Uint32()))
	}
	return NewID(KindTask, queue, KeyPartition(unique))
}

// LanePartition is the partition of all tasks with a [Lane], also of those with a unique key. They
// share one because a broker compares lanes, and counts what is in use of limits, within a partition.
const LanePartition = 0

// NewID returns a fresh ID for the task, by its queue, its lane and its unique key.
func (t *Task) NewID() ID {
	if t.Lane != nil {
		return NewID(KindTask, t.Queue, LanePartition)
	}
	return NewTaskID(t.Queue, t.Unique.Key)
}

// Block makes IDs for tasks that are sent together. Up to [BlockSize] IDs of one queue
// differ only in their position, so a broker can keep what it knows about these tasks in
// one record. Nothing depends on that: any task may have any ID. The zero Block is ready to
// use, by one goroutine at a time.
type Block struct {
	open map[string]*block // the current block of each queue
	last *block            // the block that was used last
	name string            // the queue of last
}

// block is the block of a queue that is not full yet.
type block struct {
	id    ID  // the last one made; zero if none was
	bytes int // payloads so far
}

// NewTaskID returns the next ID for a task of a queue. The task has no unique key and no lane,
// and its payload has that many bytes.
func (b *Block) NewTaskID(queue string, payload int) ID {
	if b.last == nil || b.name != queue {
		if b.open == nil {
			b.open = make(map[string]*block)
		}
		if b.open[queue] == nil {
			b.open[queue] = new(block)
		}
		b.last, b.name = b.open[queue], queue
	}
	l := b.last
	if l.id[bytePosition] == BlockSize || l.bytes+payload > BlockBytes || l.id.IsZero() {
		l.id, l.bytes = NewTaskID(queue, ""), 0
	}
	l.id[bytePosition]++
	l.bytes += payload
	return l.id
}

// KeyPartition returns the partition of all tasks with a unique key. They share one because
// a broker compares keys within a partition.
func KeyPartition(unique string) uint8 {
	sum := fnv1a(unique)
	return uint8(sum ^ sum>>8 ^ sum>>16 ^ sum>>24)
}

// QueueHash returns the ten bits of a queue's name that an [ID] carries. Two queues can
// have the same hash: it narrows down where a task is, and does not identify the queue.
func QueueHash(queue string) uint16 {
	sum := fnv1a(queue)
	return uint16(sum^sum>>queueHashBits^sum>>(2*queueHashBits)) & queueHashMask
}

// fnv1a is the 32-bit FNV-1a hash of hash/fnv, without allocations.
func fnv1a(s string) uint32 {
	sum := uint32(2166136261)
	for i := range len(s) {
		sum = (sum ^ uint32(s[i])) * 16777619
	}
	return sum
}

// ParseID reads an ID in the usual text form of a UUID. The error wraps
// [ErrInvalid].
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return ID{}, fmt.Errorf("%w: %q is not an id, want a UUID such as %q", ErrInvalid, s, "0198c0de-7000-7000-8000-000000000000")
	}
	return ID(u), nil
}

// Kind returns the kind of thing that the ID identifies.
func (id ID) Kind() Kind { return Kind(id[byteKind] >> 2 & 3) }

// QueueHash returns the [QueueHash] of the queue that the ID was made for.
func (id ID) QueueHash() uint16 { return uint16(id[byteKind]&3)<<8 | uint16(id[byteHash]) }

// Partition returns the partition that the ID was made with; see [NewID].
func (id ID) Partition() uint8 { return id[bytePartition] }

// BlockPosition returns the position of the ID in its [Block], from 1 to BlockSize, or 0 if
// it is in none.
func (id ID) BlockPosition() int {
	if id[bytePosition] > BlockSize {
		return 0
	}
	return int(id[bytePosition])
}

// AtPosition returns the ID at a position of the same [Block].
func (id ID) AtPosition(position uint8) ID {
	id[bytePosition] = position
	return id
}

// Shard returns a number by which a broker can spread IDs over shards. It is made of random
// bits, and is the same for all IDs of a [Block].
func (id ID) Shard() uint32 {
	h := binary.BigEndian.Uint32(id[byteRandom:]) ^ uint32(id[byteRandom+4])
	h ^= h >> 16
	h ^= h >> 8
	return h
}

// IsZero reports whether the ID is the zero ID.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the usual text form of a UUID, 36 characters.
func (id ID) String() string { return uuid.UUID(id).String() }

// MarshalText returns the text of [ID.String].
func (id ID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText reads the text that [ID.MarshalText] wrote.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
