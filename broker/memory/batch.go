package memory

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/slab"
)

// The records and payloads of one batch are allocated together, in slabs, rather than one
// by one.

// intake is the memory that the tasks of one Enqueue share.
type intake struct {
	stored slab.Of[stored]
	bytes  slab.Bytes
	queue  *queue // the queue of the task before
}

func newIntake(n int) *intake {
	return &intake{stored: slab.Of[stored]{Left: n}, bytes: slab.Bytes{Left: n}}
}

// stored is a record together with its task.
type stored struct {
	record
	data broker.Task
}

// outtake is the memory that the deliveries of one Dequeue share.
type outtake struct {
	deliveries slab.Of[broker.Delivery]
	bytes      slab.Bytes
}
