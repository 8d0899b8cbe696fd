package redis

import (
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// What a script is told is garbage once it has run, and there is much of it: so
// it is made in memory that is used again. The client writes a command on the
// goroutine that sends it and looks at it no more when that has returned.

// blob is a part of a larger argument. A pointer to it needs no memory in an
// interface, as a slice would.
type blob struct{ b []byte }

// MarshalBinary is how the client asks for it.
func (b *blob) MarshalBinary() ([]byte, error) { return b.b, nil }

// maxScratch is the largest memory that is kept, which is about that of the largest
// batch: a rare giant must not stay, nor one of more parts than a batch has.
const maxScratch = broker.MaxBatchBytes + 1<<20

// scratch is the memory of what scripts are told.
type scratch struct {
	bytes []byte
	heads []byte // states of blocks, or the attempts of settlements
	blobs []blob
	args  []any

	places, ends, chain []int
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

// free lets the memory be used again. The scripts have run.
func (s *scratch) free() {
	if s == nil || cap(s.bytes) > maxScratch || cap(s.places) > 4*broker.MaxBatch {
		return
	}
	clear(s.blobs)
	clear(s.args)
	s.bytes, s.heads, s.blobs, s.args = s.bytes[:0], s.heads[:0], s.blobs[:0], s.args[:0]
	s.places, s.ends, s.chain = s.places[:0], s.ends[:0], s.chain[:0]
	scratches.Put(s)
}

// ids is a set of ids that is used again.
type ids map[broker.ID]struct{}

var idSets = sync.Pool{New: func() any { return make(ids) }}

// add reports whether the id is new.
func (s ids) add(id broker.ID) bool {
	n := len(s)
	s[id] = struct{}{}
	return len(s) > n
}

func (s ids) free() {
	if s == nil {
		return
	}
	clear(s)
	idSets.Put(s)
}
