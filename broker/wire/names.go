package wire

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"github.com/go-arbiter/arbiter/broker"
)

// names are the names that were read from records. A program meets few different ones, and
// each of them in very many records.
var names nameCache

const (
	nameSets = 64
	nameWays = 4
)

// nameCache keeps a string for each of a few names, so that reading the name again does not
// allocate. It is bounded: it has nameSets*nameWays names of at most MaxName bytes, and a
// new name replaces another one if there is no room. It is safe for concurrent use, because
// an entry is only ever replaced as a whole.
type nameCache [nameSets][nameWays]atomic.Pointer[string]

// intern returns string(b), from the cache if possible.
func (c *nameCache) intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > broker.MaxName {
		return string(b)
	}
	set := &c[nameHash(b)%nameSets]
	free := -1
	for i := range set {
		switch p := set[i].Load(); {
		case p == nil:
			free = i
		case *p == string(b):
			return *p
		}
	}
	if free < 0 {
		free = rand.IntN(nameWays)
	}
	s := string(b)
	set[free].Store(&s)
	return s
}

// nameHash hashes b, eight bytes at a time. It need not resist collisions: a name that
// collides on purpose costs no more than a name without the cache.
func nameHash(b []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := uint64(len(b))
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(b))*odd, 29)
	}
	for _, x := range b {
		h = (h ^ uint64(x)) * odd
	}
	return h >> 32
}
