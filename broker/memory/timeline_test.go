package memory

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A timeline has the same records in the same order as a sorted slice.
func TestTimeline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := timeline{of: dueTime}
		var model []*record
		seq := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "number") {
					seq++
					r := &record{seq: seq, due: moment{at: instant(rapid.IntRange(0, 20).Draw(t, "at"))}}
					line.add(r)
					model = append(model, r)
				}
			},
			"remove": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "number") {
					if len(model) == 0 {
						return
					}
					i := rapid.IntRange(0, len(model)-1).Draw(t, "index")
					line.remove(model[i])
					if line.has(model[i]) {
						t.Fatal("a record that was removed is still there")
					}
					model = slices.Delete(model, i, i+1)
				}
			},
			"due": func(t *rapid.T) {
				now := instant(rapid.IntRange(0, 20).Draw(t, "now"))
				r := line.due(now)
				if len(model) == 0 || model[0].due.at > now {
					if r != nil {
						t.Fatalf("a record came at %d, it is due at %d", now, r.due.at)
					}
					return
				}
				if r != model[0] {
					t.Fatalf("record %+v came at %d, want %+v", r, now, model[0])
				}
				model = slices.Delete(model, 0, 1)
			},
			"": func(t *rapid.T) {
				slices.SortFunc(model, func(x, y *record) int {
					return cmp.Or(cmp.Compare(x.due.at, y.due.at), cmp.Compare(x.seq, y.seq))
				})
				first := never
				if len(model) > 0 {
					first = model[0].due.at
				}
				if line.first() != first || line.Len() != len(model) {
					t.Fatalf("%d records from %d on, want %d from %d on", line.Len(), line.first(), len(model), first)
				}
				for _, r := range model {
					if !line.has(r) {
						t.Fatal("a record is not there")
					}
				}
			},
		})
	})
}

// A timeline that has become almost empty has freed its memory.
func TestTimelineShrinks(t *testing.T) {
	line := timeline{of: dueTime}
	var records []*record
	for i := range 100_000 {
		r := &record{due: moment{at: instant(i)}}
		line.add(r)
		records = append(records, r)
	}
	for _, r := range records[10:] {
		line.remove(r)
	}
	if cap(line.records) > 1024 {
		t.Errorf("room for %d records, there are %d", cap(line.records), line.Len())
	}
}
