package memory

import (
	"encoding/binary"

	"github.com/go-arbiter/arbiter/broker"
)

// arena keeps the outcomes that end in the same minute, as bytes: there are
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

// add keeps the record of an outcome of a task of a queue.
func (a *arena) add(queue string, record []byte) place {
	size := len(queue) + len(record) + 2*binary.MaxVarintLen32
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
	b = append(binary.AppendUvarint(b, uint64(len(queue))), queue...)
	b = append(binary.AppendUvarint(b, uint64(len(record))), record...)
	a.chunks[n] = b
	return at
}

// get returns what add was given, the outcome as it is read from the record.
func (a *arena) get(at place) (queue string, o *broker.Outcome) {
	b := a.chunks[at.chunk][at.off:]
	part := func() []byte {
		size, n := binary.Uvarint(b)
		b = b[n:]
		part := b[:size]
		b = b[size:]
		return part
	}
	queue = string(part())
	return queue, opened(part())
}

// opened reads a record of this package's, so it finds no mistakes.
func opened(record []byte) *broker.Outcome {
	o, err := broker.ParseOutcome(record)
	if err != nil {
		panic(err)
	}
	return &o
}
