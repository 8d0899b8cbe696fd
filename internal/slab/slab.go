// Package slab allocates what a batch needs some at a time, which is cheaper than one by
// one. Those that share an allocation keep it alive together, so they are few, and small.
package slab

import "slices"

const (
	together = 16   // values at most that share an allocation
	block    = 1024 // bytes at most that do
	small    = 256  // the longest slice that shares a block
)

// Of hands out zeroed values. Who keeps one keeps some others, and what these point to.
// The zero Of is ready to use.
type Of[T any] struct {
	Left int // how many will still be asked for, as far as known
	free []T
}

// Next returns the next value.
func (s *Of[T]) Next() *T {
	if len(s.free) == 0 {
		s.free = make([]T, max(min(s.Left, together), 1))
	}
	v := &s.free[0]
	s.free = s.free[1:]
	s.Left--
	return v
}

// Bytes is memory for slices, of which small ones share blocks. Those that it hands out
// for good have no more capacity than length. The zero Bytes is ready to use.
type Bytes struct {
	Left  int // as in [Of]
	block []byte
	last  int // length of the last one that was kept
}

// Copy returns a copy of b.
func (s *Bytes) Copy(b []byte) []byte { return copied(s, b) }

// CopyString returns a copy of the bytes of b.
func (s *Bytes) CopyString(b string) []byte { return copied(s, b) }

func copied[B []byte | string](s *Bytes, b B) []byte {
	if len(b) == 0 || len(b) > small {
		s.Left--
		return slices.Clip(append([]byte(nil), b...))
	}
	return s.Keep(append(s.RoomFor(len(b)), b...))
}

// Room returns an empty slice to append to what is not known yet; [Bytes.Keep] must be
// told of it before more is asked for. It has room for one like the last, if that was small.
func (s *Bytes) Room() []byte {
	if s.last > small {
		return nil
	}
	return s.RoomFor(max(s.last, 16))
}

// RoomFor is Room for n bytes.
func (s *Bytes) RoomFor(n int) []byte {
	if n > small {
		return make([]byte, 0, n)
	}
	if cap(s.block)-len(s.block) < n {
		s.block = make([]byte, 0, n*max(min(s.Left, together, block/n), 1))
	}
	return s.block[len(s.block):]
}

// Keep returns what appending to a slice of Room has come to, which is the caller's from
// then on. It may be another slice altogether: then the room is there for the next one.
func (s *Bytes) Keep(b []byte) []byte {
	s.Left--
	n := len(b)
	s.last = n
	if at := len(s.block); n > 0 && n <= cap(s.block)-at && &b[0] == &s.block[:at+1][at] {
		s.block = s.block[:at+n]
	}
	return b[:n:n]
}
