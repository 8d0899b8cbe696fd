package memory

import "github.com/go-arbiter/arbiter/broker"

// What a batch needs is allocated some at a time. Those that share an
// allocation keep it alive together, so they are few, and small.
const slabSize = 16

// slab hands out zeroed values.
type slab[T any] struct {
	free []T
	left int // how many will still be asked for, as far as known
}

func (s *slab[T]) next() *T {
	if len(s.free) == 0 {
		s.free = make([]T, max(min(s.left, slabSize), 1))
	}
	v := &s.free[0]
	s.free = s.free[1:]
	s.left--
	return v
}

// copier copies small slices into shared blocks.
type copier struct {
	block []byte
	left  int // as in slab
}

// smallBytes is the longest slice that shares a block.
const smallBytes = 64

func (c *copier) copy(b []byte) []byte {
	c.left--
	if len(b) == 0 || len(b) > smallBytes {
		return copyBytes(b)
	}
	if cap(c.block)-len(c.block) < len(b) {
		c.block = make([]byte, 0, len(b)*max(min(c.left+1, slabSize), 1))
	}
	n := len(c.block)
	c.block = append(c.block, b...)
	return c.block[n:len(c.block):len(c.block)]
}

// intake is what the tasks of an enqueue share.
type intake struct {
	slab[stored]
	copier
	queue *queue // of the one before
}

// outtake is what the deliveries of a dequeue share.
type outtake struct {
	slab[broker.Delivery]
	copier
}

// stored is a record with its task.
type stored struct {
	record
	data broker.Task
}
