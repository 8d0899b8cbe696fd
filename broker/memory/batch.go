package memory

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/slab"
)

// intake is what the tasks of an enqueue share.
type intake struct {
	stored slab.Of[stored]
	bytes  slab.Bytes
	queue  *queue // of the one before
}

func newIntake(n int) *intake {
	return &intake{stored: slab.Of[stored]{Left: n}, bytes: slab.Bytes{Left: n}}
}

// stored is a record with its task.
type stored struct {
	record
	data broker.Task
}

// outtake is what the deliveries of a dequeue share.
type outtake struct {
	deliveries slab.Of[broker.Delivery]
	bytes      slab.Bytes
}
