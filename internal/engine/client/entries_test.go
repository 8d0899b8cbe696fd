package client

import (
	"math/rand/v2"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// An entryIndex behaves like a map through growing and shrinking, and its entries do not move.
func TestEntryIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var d entryIndex
	var block broker.Block
	known := make(map[broker.ID]*entry)
	var ids []broker.ID
	check := func() {
		t.Helper()
		if d.n != len(known) {
			t.Fatalf("%d entries, want %d", d.n, len(known))
		}
		for id, e := range known {
			if got := d.get(id); got != e || got.id != id {
				t.Fatalf("%s leads to %p, want %p", id, got, e)
			}
		}
	}
	for _, size := range []int{10, 20_000, 3, 1_000, 0, 100} {
		for len(known) != size {
			if len(known) < size && rnd.IntN(4) > 0 || len(ids) == 0 {
				id := newID()
				if rnd.IntN(3) > 0 {
					id = block.NewTaskID("q", 0)
				}
				e, fresh := d.enter(id)
				if !fresh || e.id != id || e.sending != 0 || e.next != nil {
					t.Fatalf("entry %+v, fresh: %v", e, fresh)
				}
				e.sending = 7
				known[id] = e
				ids = append(ids, id)
				if again, fresh := d.enter(id); fresh || again != e {
					t.Fatal("an id was entered twice")
				}
				continue
			}
			i := rnd.IntN(len(ids))
			id := ids[i]
			ids[i] = ids[len(ids)-1]
			ids = ids[:len(ids)-1]
			d.remove(known[id])
			delete(known, id)
			if d.get(id) != nil {
				t.Fatal("an id that was removed is still found")
			}
		}
		check()
	}
	live := 0
	for _, p := range d.pages {
		if p != nil {
			live++
		}
	}
	if live > 2*emptyPages+1 {
		t.Errorf("%d pages are kept for %d entries", live, d.n)
	}
	if len(d.buckets) > 4096 {
		t.Errorf("%d buckets are kept for %d entries", len(d.buckets), d.n)
	}
}
