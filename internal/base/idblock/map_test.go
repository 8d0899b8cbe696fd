package idblock

import (
	"maps"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"pgregory.net/rapid"
)

// A Map behaves like a Go map, for ids in blocks and for others, and keeps no memory for
// removed ids.
func TestMap(t *testing.T) {
	var ids []broker.ID
	for _, size := range []int{1, 2, 4, 5, 16, 17, broker.BlockSize - 1, broker.BlockSize} {
		var b broker.Block
		for range size {
			ids = append(ids, b.NewTaskID("q", 0))
		}
		ids = append(ids, broker.NewTaskID("q", ""))
	}
	last := len(ids) - 1
	rapid.Check(t, func(t *rapid.T) {
		var m Map[int]
		model := map[broker.ID]int{}
		next := 0
		position := rapid.IntRange(0, last)
		put := func(id broker.ID) {
			next++
			m.Put(id, next)
			model[id] = next
		}
		drop := func(id broker.ID) {
			m.Drop(id)
			delete(model, id)
		}
		// some calls f for ids in a row, which mostly share a block.
		some := func(t *rapid.T, f func(broker.ID)) {
			from := position.Draw(t, "from")
			n := rapid.IntRange(1, 2*broker.BlockSize).Draw(t, "number")
			for _, id := range ids[from:min(from+n, len(ids))] {
				f(id)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put":       func(t *rapid.T) { put(ids[position.Draw(t, "id")]) },
			"drop":      func(t *rapid.T) { drop(ids[position.Draw(t, "id")]) },
			"put some":  func(t *rapid.T) { some(t, put) },
			"drop some": func(t *rapid.T) { some(t, drop) },
			"": func(t *rapid.T) {
				some(t, func(id broker.ID) {
					want, has := model[id]
					if v, ok := m.Get(id); v != want || ok != has {
						t.Fatalf("Get(%s) returned %d, %v, want %d, %v", id, v, ok, want, has)
					}
				})
				got := map[int]int{}
				for v := range m.All() {
					got[v]++
				}
				want := map[int]int{}
				for _, v := range model {
					want[v]++
				}
				if !maps.Equal(got, want) || m.Len() != len(model) {
					t.Fatalf("%d ids with the values %v, want %v", m.Len(), got, want)
				}
			},
		})
		for _, id := range ids {
			drop(id)
		}
		if m.Len() != 0 || m.lone.Len() != 0 || m.blocks.Len() != 0 || m.last != nil {
			t.Errorf("the map still has %d ids and %d blocks after all were dropped", m.lone.Len(), m.blocks.Len())
		}
	})
}
