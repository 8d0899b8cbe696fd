package memory

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

// What was added is found again at its place, whatever its size.
func TestKeptPages(t *testing.T) {
	t.Parallel()
	var p keptPages
	var all []kept
	var places []keptPlace
	for i := range 2000 {
		k := kept{queue: fmt.Sprint("queue", i), outcome: []byte(strings.Repeat("x", i*i%9973))}
		for n := range i % 3 {
			if k.meta == nil {
				k.meta = make(map[string]string)
			}
			k.meta[fmt.Sprint("key", n)] = strings.Repeat("y", i)
		}
		all, places = append(all, k), append(places, p.add(k))
	}
	for i, want := range all {
		got := p.get(places[i])
		if got.queue != want.queue || !maps.Equal(got.meta, want.meta) || string(got.outcome) != string(want.outcome) {
			t.Fatalf("number %d is %+v, want %+v", i, got, want)
		}
	}
}
