package memory

import (
	"encoding/binary"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/wire"
)

// An arena stores, as bytes, the outcomes and the metadata of tasks whose retention ends in
// the same minute. There can be very many outcomes, each for an hour, and the garbage
// collector does not have to look at bytes. An arena is dropped as a whole when the minute
// is over.
type arena struct{ chunks [][]byte }

// arenaPos is the position of an outcome in its arena.
type arenaPos struct{ chunk, off uint32 }

// The sizes of chunks. A record that is larger than lastChunk gets a chunk of its own.
const (
	firstChunk = 512
	lastChunk  = 64 << 10
)

// add stores the record of an outcome, the queue of its task, and the metadata of the task
// if it has any. The lowest bit of the first number tells whether metadata follows, so a
// task without metadata needs no bytes for it.
func (a *arena) add(queue string, record []byte, meta map[string]string) arenaPos {
	var about []byte
	if len(meta) > 0 {
		about = wire.AppendMeta(nil, meta)
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
	at := arenaPos{uint32(n), uint32(len(b))}
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

// get returns copies of what add has stored at a place.
func (a *arena) get(at arenaPos) (queue string, o *broker.Outcome, meta map[string]string) {
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
		if meta, err = wire.ParseMeta(part(number())); err != nil {
			panic(err) // this package wrote the record
		}
	}
	return queue, o, meta
}

// opened decodes an outcome that this package has encoded, so there can be no error.
func opened(record []byte) *broker.Outcome {
	o, err := wire.ParseOutcome(record)
	if err != nil {
		panic(err)
	}
	return &o
}
