package memory

import (
	"math/rand/v2"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
)

// A taskTable has the same content as a map of the same tasks, while it grows, shrinks to
// nothing and grows again, and each record points to its entry.
func TestTaskTable(t *testing.T) {
	var l taskTable
	var block broker.Block
	type known struct {
		r *record // nil once it is a tombstone
		n uint32  // the digest of the tombstone
	}
	model := map[broker.ID]known{}
	var ids []broker.ID
	check := func() {
		t.Helper()
		if l.n != len(model) {
			t.Fatalf("%d entries, want %d", l.n, len(model))
		}
		for id, want := range model {
			e := l.get(id)
			if e == nil || e.id != id || l.record(e) != want.r || want.r == nil && e.digest != want.n || want.r != nil && want.r.entry != e {
				t.Fatalf("entry of %s is %+v, want %+v", id, e, want)
			}
		}
		if l.get(broker.NewID(broker.KindTask, "q", 0)) != nil {
			t.Fatal("an entry of an id that nobody has added")
		}
	}
	for round, adds := range []int{70, 20, 95, 5, 60, 40, 0} {
		for step := range 5000 {
			n := uint32(step)
			switch {
			case rand.IntN(100) < adds:
				r := &record{id: broker.NewID(broker.KindTask, "q", 0)}
				if step%3 == 0 {
					if r.id = block.NewTaskID("q", 0); l.get(r.id) != nil { // by the next line
						continue
					}
				} else if len(ids) > 0 && step%2 == 0 { // ids that hardly differ
					r.id = ids[len(ids)-1]
					r.id[15]++
					if l.get(r.id) != nil {
						continue
					}
				}
				l.add(r)
				model[r.id] = known{r: r}
				ids = append(ids, r.id)
			case len(ids) > 0:
				i := rand.IntN(len(ids))
				id := ids[i]
				if r := model[id].r; r != nil && step%3 > 0 {
					l.bury(r.entry, tombstone{digest: n})
					if r.entry != nil {
						t.Fatal("a record keeps the entry of its tombstone")
					}
					model[id] = known{n: n}
					continue
				}
				l.drop(id)
				delete(model, id)
				ids[i] = ids[len(ids)-1]
				ids = ids[:len(ids)-1]
			}
		}
		check()
		t.Logf("round %d: %d entries, %d slots, %d pages", round, l.n, len(l.slots), len(l.pages))
	}
	for i, id := range ids {
		l.drop(id)
		delete(model, id)
		if i%100 == 0 {
			check() // the table is rebuilt in between
		}
	}
	check()
	if len(l.pages)*pageSize > 2*taskTableSlack {
		t.Errorf("an empty table has %d pages", len(l.pages))
	}
}
