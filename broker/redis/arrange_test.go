package redis

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/idblock"
)

// An arrangement has the first settlement of each task. Settlements that are stored with their block
// come first, block by block, and all others after them, each group in the order of the batch.
func TestArrangement(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var ids []broker.ID
		for range 1 + rng.IntN(40) {
			var b broker.Block
			for range 1 + rng.IntN(64) {
				ids = append(ids, b.NewTaskID("q", 0))
			}
			ids = append(ids, broker.NewTaskID("q", ""))
		}
		batch := make([]broker.Settlement, 1+rng.IntN(300))
		for i := range batch {
			batch[i].Delivery = &broker.Delivery{Task: broker.Task{ID: ids[rng.IntN(len(ids))]}}
			batch[i].Verb = broker.VerbFinish
			if rng.IntN(5) == 0 {
				batch[i].Verb = broker.VerbGiveBack
			}
		}
		a := arrangement{size: len(batch), in: newScratch()}
		seen := map[broker.ID]bool{}
		var want, rest []int
		var blocks []broker.ID
		of := map[broker.ID][]int{}
		for i := range batch {
			id := batch[i].Delivery.ID
			if got := a.add(i, &batch[i]); got == seen[id] {
				t.Fatalf("settlement %d was added: %v, though its task was added before: %v", i, got, seen[id])
			}
			if seen[id] {
				continue
			}
			seen[id] = true
			if !inBlock(&batch[i]) {
				rest = append(rest, i)
			}
			if id.BlockPosition() == 0 {
				continue
			}
			if _, ok := of[idblock.Name(id)]; !ok {
				blocks = append(blocks, idblock.Name(id))
				of[idblock.Name(id)] = nil
			}
			if inBlock(&batch[i]) {
				of[idblock.Name(id)] = append(of[idblock.Name(id)], i)
			}
		}
		for _, b := range blocks {
			want = append(want, of[b]...)
		}
		if got := a.positions(); !slices.Equal(got, append(want, rest...)) {
			t.Fatalf("the order is %v, want %v", got, append(want, rest...))
		}
	}
}

// The table of held tasks answers like a map.
func TestHeld(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	positions := []*keys{{}, {}}
	var ids []broker.ID
	var b broker.Block
	for range 300 {
		ids = append(ids, b.NewTaskID("q", 0))
	}
	for range 50 {
		ids = append(ids, broker.NewTaskID("q", ""))
	}
	h, want := newHeld(), map[broker.ID]holding{}
	check := func() {
		t.Helper()
		large := 0
		in := map[*keys]bool{}
		for _, one := range want {
			in[one.keys] = true
			if one.large {
				large++
			}
		}
		if h.count != len(want) || h.large != large || h.in(positions[0]) != in[positions[0]] || h.in(positions[1]) != in[positions[1]] {
			t.Fatalf("%d tasks are held and %d of them have large records, want %d and %d", h.count, h.large, len(want), large)
		}
		for _, id := range ids {
			got, ok := h.get(id)
			one, there := want[id]
			if ok != there || got != one {
				t.Fatalf("%s: %v, %v, want %v, %v", id, got, ok, one, there)
			}
		}
	}
	for n := range 20_000 {
		id := ids[rng.IntN(len(ids))]
		if rng.IntN(3) == 0 {
			one := holding{attempt: 1 + rng.Uint32N(5), large: rng.IntN(2) == 0, keys: positions[min(rng.IntN(10), 1)]}
			h.put(id, one)
			want[id] = one
		} else {
			h.drop(id)
			delete(want, id)
		}
		if n%500 == 0 {
			check()
		}
	}
	for id := range want {
		h.drop(id)
		delete(want, id)
	}
	check()
	if len(h.alone)+len(h.blocks) != 0 {
		t.Errorf("%d tasks and %d blocks are left", len(h.alone), len(h.blocks))
	}
}
