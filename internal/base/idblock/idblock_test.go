package idblock

import (
	"math/rand/v2"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// An Index behaves like a map, and keeps no memory for removed ids.
func TestIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var ids []broker.ID
	for range 30 {
		var b broker.Block
		for range 1 + rng.IntN(broker.BlockSize) {
			ids = append(ids, b.NewTaskID("q", 0))
		}
	}
	var x Index
	want := map[broker.ID]uint32{}
	check := func() {
		t.Helper()
		for i := range ids {
			value, ok := x.Get(&ids[i])
			if known, there := want[ids[i]]; ok != there || value != known {
				t.Fatalf("Get(%s) returned %d, %v, want %d, %v", ids[i], value, ok, known, there)
			}
		}
		got := map[uint32]int{}
		for value := range x.All() {
			got[value]++
		}
		for _, value := range want {
			got[value]--
		}
		for value, n := range got {
			if n != 0 {
				t.Fatalf("All returned %d %+d times too often", value, n)
			}
		}
	}
	for step := range 30_000 {
		id := ids[rng.IntN(len(ids))]
		if rng.IntN(2) == 0 {
			value := rng.Uint32N(1000)
			x.Put(&id, value)
			want[id] = value
		} else {
			x.Drop(&id)
			delete(want, id)
		}
		if step%1000 == 0 {
			check()
		}
	}
	check()
	for i := range ids {
		x.Drop(&ids[i])
		delete(want, ids[i])
	}
	check()
	if len(x.blocks) != 0 || x.last != nil {
		t.Errorf("the index still has %d blocks after all ids were removed", len(x.blocks))
	}
}

func TestHas(t *testing.T) {
	var b broker.Block
	for position, id := range map[int]broker.ID{1: b.NewTaskID("q", 0), 2: b.NewTaskID("q", 0), 0: broker.NewTaskID("q", "")} {
		if Has(&id) != (position > 0) || id.BlockPosition() != position {
			t.Errorf("Has(%s) is %v, and its position in the block is %d, want %d", id, Has(&id), id.BlockPosition(), position)
		}
		if name := Name(id); name == id || Has(&name) || [broker.BlockPrefix]byte(name[:broker.BlockPrefix]) != [broker.BlockPrefix]byte(id[:broker.BlockPrefix]) {
			t.Errorf("Name(%s) is %s", id, name)
		}
	}
}
