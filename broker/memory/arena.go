package memory

import (
	"encoding/binary"

	"github.com/go-arbiter/arbiter/broker"
)

// arena keeps the outcomes that end in the same minute, and the metadata of their
// tasks, as bytes: there are
// many of them, for an hour, and the garbage collector shall not have to look
// at any. It goes as a whole.
type arena struct{ chunks [][]byte }

// place is where an outcome is in its arena.
type place struct{ chunk, off uint32 }

// The sizes of chunks. What is larger than the largest has one of its own.
const (
	firstChunk = 512
	lastChunk  = 64 << 10
)

// add keeps the record of an outcome of a task of a queue, and that of the task's
// metadata, if it has any: whether it does is in the length of the queue's name,
// so what has none takes no room for it.
func (a *arena) add(queue string, record []byte, meta map[string]string) place {
	var about []byte
	if len(meta) > 0 {
		about = broker.AppendMeta(nil, meta)
	}
	size := len(queue) + len(record) + len(about) + 3*binary.MaxVarintLen32
	n := len(a.chunks) - 1
	if n < 0 || cap(a.chunks[n])-len(a.chunks[n]) < size {
		next := firstChunk
		if n >= 0 {
			next = min(2*cap(a.chunks[n]), lastChunk)
		}
		a.chunks = append(a.chunks, make([]byte, 0, max(next, size)))
		n++
	}
	b := a.chunks[n]
	at := place{uint32(n), uint32(len(b))}
	has := uint64(0)
	if about != nil {
		has = 1
	}
	b = append(binary.AppendUvarint(b, uint64(len(queue))<<1|has), queue...)
	b = append(binary.AppendUvarint(b, uint64(len(record))), record...)
	if about != nil {
		b = append(binary.AppendUvarint(b, uint64(len(about))), about...)
	}
	a.chunks[n] = b
	return at
}

// get returns what add was given, the outcome as it is read from the record.
func (a *arena) get(at place) (queue string, o *broker.Outcome, meta map[string]string) {
	b := a.chunks[at.chunk][at.off:]
	number := func() int {
		size, n := binary.Uvarint(b)
		b = b[n:]
		return int(size)
	}
	part := func(size int) []byte {
		part := b[:size]
		b = b[size:]
		return part
	}
	n := number()
	queue = string(part(n >> 1))
	o = opened(part(number()))
	if n&1 != 0 {
		var err error
		if meta, err = broker.ParseMeta(part(number())); err != nil {
			panic(err) // it is this package's
		}
	}
	return queue, o, meta
}

// opened reads a record of this package's, so it finds no mistakes.
func opened(record []byte) *broker.Outcome {
	o, err := broker.ParseOutcome(record)
	if err != nil {
		panic(err)
	}
	return &o
}
