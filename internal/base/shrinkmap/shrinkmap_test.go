package shrinkmap_test

import (
	"maps"
	"testing"

	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
	"pgregory.net/rapid"
)

// A Map has the same content as a Go map, while it grows and shrinks.
func TestMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m shrinkmap.Map[int, int]
		model := map[int]int{}
		key := rapid.IntRange(0, 3*shrinkmap.Slack)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), rapid.Int().Draw(t, "value")
				m.Put(k, v)
				model[k] = v
			},
			"drop": func(t *rapid.T) {
				k := key.Draw(t, "key")
				m.Drop(k)
				delete(model, k)
			},
			"put many": func(t *rapid.T) {
				from := key.Draw(t, "from")
				for k := from; k < 3*shrinkmap.Slack; k++ {
					m.Put(k, from)
					model[k] = from
				}
			},
			"drop many": func(t *rapid.T) {
				to := key.Draw(t, "to")
				for k := range to {
					m.Drop(k)
					delete(model, k)
				}
			},
			"": func(t *rapid.T) {
				if got := maps.Collect(m.All()); !maps.Equal(got, model) || m.Len() != len(model) {
					t.Fatalf("%d entries, %v, want %v", m.Len(), got, model)
				}
				k := key.Draw(t, "any key")
				if v, ok := m.Get(k); v != model[k] || ok != hasKey(model, k) {
					t.Fatalf("Get(%d) returned %d, %v", k, v, ok)
				}
			},
		})
	})
}

func hasKey(m map[int]int, k int) bool {
	_, ok := m[k]
	return ok
}

// An almost empty Map has freed its memory.
func TestShrink(t *testing.T) {
	const n = 100 * shrinkmap.Slack
	var m shrinkmap.Map[int, int]
	for k := range n {
		m.Put(k, k)
	}
	for k := range n - 10 {
		m.Drop(k)
	}
	if m.Len() != 10 || m.Peak() > shrinkmap.Slack {
		t.Errorf("room for %d entries, there are %d", m.Peak(), m.Len())
	}
}
