package idblock

import (
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

func TestHas(t *testing.T) {
	var b broker.Block
	for position, id := range map[int]broker.ID{1: b.NewTaskID("q", 0), 2: b.NewTaskID("q", 0), 0: broker.NewTaskID("q", "")} {
		if Has(id) != (position > 0) || id.BlockPosition() != position {
			t.Errorf("Has(%s) is %v, and its position in the block is %d, want %d", id, Has(id), id.BlockPosition(), position)
		}
		if name := Name(id); name == id || Has(name) || [broker.BlockPrefix]byte(name[:broker.BlockPrefix]) != [broker.BlockPrefix]byte(id[:broker.BlockPrefix]) {
			t.Errorf("Name(%s) is %s", id, name)
		}
	}
}
