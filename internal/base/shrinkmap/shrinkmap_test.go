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
				k := key.Draw(t, "any key")
				want, has := model[k]
				if v, ok := m.Get(k); v != want || ok != has || m.Len() != len(model) {
					t.Fatalf("Get(%d) of %d entries returned %d, %v, want %d, %v of %d", k, m.Len(), v, ok, want, has, len(model))
				}
			},
		})
		if got := maps.Collect(m.All()); !maps.Equal(got, model) {
			t.Fatalf("the entries are %v, want %v", got, model)
		}
	})
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
