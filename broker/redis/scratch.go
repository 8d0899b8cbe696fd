package redis

import (
	"sync"

	"github.com/go-arbiter/arbiter/broker"
)

// A batch of tasks becomes thousands of arguments for a script, which are garbage when the
// script has run. Allocating them anew for each call would be most of the work of the
// garbage collector, so their memory is pooled. That is safe because the client encodes a
// command on the goroutine that sends it, and does not use the arguments after it returns.
//
// A scratch has one slice for each use. A user appends to the slices and puts the grown ones
// back into the scratch before free. Memory that a rare giant batch has grown is not kept.

// blob is an argument that is a part of a larger slice of bytes. Arguments are of type any,
// and a pointer to a blob can be stored in an interface without an allocation, which a slice
// can't.
type blob struct{ b []byte }

// MarshalBinary returns the bytes to the client, which calls it for an argument.
func (b *blob) MarshalBinary() ([]byte, error) { return b.b, nil }

// maxScratch is the capacity in bytes above which the memory is not pooled. It is about
// the size of the largest batch.
const maxScratch = broker.MaxBatchBytes + 1<<20

// scratch is pooled memory for the arguments of scripts.
type scratch struct {
	bytes []byte // records, or notices
	heads []byte // states of blocks, or the attempts of settlements
	blobs []blob
	args  []any

	positions, ends, chain []int // positions in a batch, and indexes into the slices above
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// newScratch returns a scratch with empty slices. Call free when the scripts have run.
func newScratch() *scratch { return scratches.Get().(*scratch) }

// free puts the memory back into the pool. The scripts have run, and nothing refers to it.
func (s *scratch) free() {
	if s == nil || cap(s.bytes) > maxScratch || cap(s.positions) > 4*broker.MaxBatch {
		return
	}
	clear(s.blobs)
	clear(s.args)
	s.bytes, s.heads, s.blobs, s.args = s.bytes[:0], s.heads[:0], s.blobs[:0], s.args[:0]
	s.positions, s.ends, s.chain = s.positions[:0], s.ends[:0], s.chain[:0]
	scratches.Put(s)
}

// ids is a set of ids. Sets are pooled, too.
type ids map[broker.ID]struct{}

var idSets = sync.Pool{New: func() any { return make(ids) }}

// add reports whether the id is new.
func (s ids) add(id broker.ID) bool {
	n := len(s)
	s[id] = struct{}{}
	return len(s) > n
}

// free empties the set and puts it back into the pool.
func (s ids) free() {
	if s == nil {
		return
	}
	clear(s)
	idSets.Put(s)
}
