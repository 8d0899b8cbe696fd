package memory

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/slab"
)

// The records and payloads of one batch are allocated together, in slabs, rather than one
// by one.

// enqueueSlabs is the memory that the tasks of one Enqueue share.
type enqueueSlabs struct {
	stored slab.Of[stored]
	bytes  slab.Bytes
	queue  *queue // the queue of the task before
}

func newEnqueueSlabs(n int) *enqueueSlabs {
	return &enqueueSlabs{stored: slab.Of[stored]{Left: n}, bytes: slab.Bytes{Left: n}}
}

// stored is a record together with its task.
type stored struct {
	record
	data broker.Task
}

// dequeueSlabs is the memory that the deliveries of one Dequeue share.
type dequeueSlabs struct {
	deliveries slab.Of[broker.Delivery]
	bytes      slab.Bytes
}
