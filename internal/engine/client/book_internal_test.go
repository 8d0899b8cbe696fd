package client

import (
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// Tasks with a lane that are sent together have ids of their own, in the partition of lanes. The
// ordinary tasks among them share a block.
func TestSiblingsWithLanes(t *testing.T) {
	var s siblings
	var plain broker.ID
	for i := range 20 {
		id := s.newID(&broker.Task{Queue: "q", Lane: new(broker.Lane)})
		if id.BlockPosition() != 0 || id.Partition() != broker.LanePartition || id.QueueHash() != broker.QueueHash("q") {
			t.Errorf("id %s of a task with a lane", id)
		}
		next := s.newID(&broker.Task{Queue: "q"})
		if i > 0 && next != plain.AtPosition(uint8(i+1)) {
			t.Errorf("id %s of an ordinary task, after %s", next, plain)
		}
		plain = next
	}
}
