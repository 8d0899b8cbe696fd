package client

import (
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"pgregory.net/rapid"
)

// Entries behave like a map, do not move, and are zero when they are used again.
func TestEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x entries
		var block broker.Block
		model := make(map[broker.ID]*entry)
		var ids []broker.ID
		enter := func(t *rapid.T, id broker.ID) {
			e, fresh := x.enter(id)
			if !fresh || e.id != id || e.sending != 0 || e.label != unknownLabel {
				t.Fatalf("entry %+v, fresh: %v", e, fresh)
			}
			e.sending = 7
			model[id] = e
			ids = append(ids, id)
			if again, fresh := x.enter(id); fresh || again != e {
				t.Fatal("an id was entered twice")
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) { enter(t, newID()) },
			"enter a block": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "size") {
					enter(t, block.NewTaskID("q", 0))
				}
			},
			"drop": func(t *rapid.T) {
				for range rapid.IntRange(0, 100).Draw(t, "number") {
					if len(ids) == 0 {
						return
					}
					i := rapid.IntRange(0, len(ids)-1).Draw(t, "position")
					id := ids[i]
					ids[i] = ids[len(ids)-1]
					ids = ids[:len(ids)-1]
					x.drop(model[id])
					x.drop(model[id]) // has no effect
					delete(model, id)
				}
			},
			"": func(t *rapid.T) {
				if x.len() != len(model) {
					t.Fatalf("%d entries, want %d", x.len(), len(model))
				}
				for id, e := range model {
					if got := x.get(id); got != e || got.id != id {
						t.Fatalf("%s leads to %p, want %p", id, got, e)
					}
				}
				if x.get(newID()) != nil {
					t.Fatal("an entry of an id that was not entered")
				}
			},
		})
	})
}

// The memory that is kept for reuse is bounded.
func TestSpareEntries(t *testing.T) {
	var x entries
	var all []*entry
	for range 3 * maxSpareEntries {
		e, _ := x.enter(newID())
		all = append(all, e)
	}
	for _, e := range all {
		x.drop(e)
	}
	if x.len() != 0 || len(x.spare) > maxSpareEntries {
		t.Errorf("%d entries and %d spare ones are left", x.len(), len(x.spare))
	}
	if n := testing.AllocsPerRun(100, func() {
		e, _ := x.enter(all[0].id)
		x.drop(e)
	}); n > 0 {
		t.Errorf("%v allocations for an entry that comes and goes", n)
	}
}
