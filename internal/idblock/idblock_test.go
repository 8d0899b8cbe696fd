package idblock

import (
	"math/rand/v2"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// An index does what a map does, and keeps nothing of what it has forgotten.
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
			place, ok := x.Get(&ids[i])
			if known, there := want[ids[i]]; ok != there || place != known {
				t.Fatalf("%s leads to %d, %v, want %d, %v", ids[i], place, ok, known, there)
			}
		}
		got := map[uint32]int{}
		for place := range x.All() {
			got[place]++
		}
		for _, place := range want {
			got[place]--
		}
		for place, n := range got {
			if n != 0 {
				t.Fatalf("All has place %d %+d times too many", place, n)
			}
		}
	}
	for step := range 30_000 {
		id := ids[rng.IntN(len(ids))]
		if rng.IntN(2) == 0 {
			place := rng.Uint32N(1000)
			x.Put(&id, place)
			want[id] = place
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
		t.Errorf("%d blocks are kept for nothing", len(x.blocks))
	}
}

func TestHas(t *testing.T) {
	var b broker.Block
	for place, id := range map[int]broker.ID{1: b.NewTaskID("q", 0), 2: b.NewTaskID("q", 0), 0: broker.NewTaskID("q", "")} {
		if Has(&id) != (place > 0) || id.BlockPlace() != place {
			t.Errorf("%s is in a block: %v, at place %d, want %d", id, Has(&id), id.BlockPlace(), place)
		}
		if name := Name(id); name == id || Has(&name) || [15]byte(name[:15]) != [15]byte(id[:15]) {
			t.Errorf("the name of %s is %s", id, name)
		}
	}
}
