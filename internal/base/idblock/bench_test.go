package idblock_test

import (
	"fmt"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/base/idblock"
	"github.com/go-arbiter/arbiter/internal/base/shrinkmap"
)

// BenchmarkMap compares a Map with a Go map, for the two uses that there are. It is the
// measurement behind the decision "Ids in blocks share an entry of a map" in
// docs/decisions.md. One operation is one task: its id is put, looked up and, when as many
// tasks as the name says have come after it, dropped.
func BenchmarkMap(b *testing.B) {
	for _, kind := range []string{"blocks", "lone"} {
		for _, live := range []int{1_000, 100_000, 1_000_000} {
			name := fmt.Sprintf("%s/%d/", kind, live)
			// A client maps ids to pointers.
			b.Run("client/"+name+"Map", func(b *testing.B) { run(b, new(idblock.Map[*int]), kind, live, new(int)) })
			b.Run("client/"+name+"go", func(b *testing.B) { run(b, new(shrinkmap.Map[broker.ID, *int]), kind, live, new(int)) })
			// The broker in memory maps ids to structs of about this size.
			b.Run("memory/"+name+"Map", func(b *testing.B) { run(b, new(idblock.Map[entry]), kind, live, entry{}) })
			b.Run("memory/"+name+"go", func(b *testing.B) { run(b, new(shrinkmap.Map[broker.ID, entry]), kind, live, entry{}) })
		}
	}
}

type entry struct {
	_ *int
	_ []byte
	_ [6]int
}

type idMap[V any] interface {
	Get(id broker.ID) (V, bool)
	Put(id broker.ID, v V)
	Drop(id broker.ID)
}

func run[V any](b *testing.B, m idMap[V], kind string, live int, v V) {
	ids := make([]broker.ID, live)
	var block broker.Block
	one := func(i int) {
		id := broker.NewTaskID("q", "")
		if kind == "blocks" {
			id = block.NewTaskID("q", 0)
		}
		if _, ok := m.Get(id); ok {
			b.Fatal("an id came twice")
		}
		m.Put(id, v)
		m.Drop(ids[i%live])
		ids[i%live] = id
		if _, ok := m.Get(id); !ok {
			b.Fatal("an id is missing")
		}
	}
	for i := range live {
		one(i)
	}
	b.ReportAllocs()
	n := live
	for b.Loop() {
		one(n)
		n++
	}
}
