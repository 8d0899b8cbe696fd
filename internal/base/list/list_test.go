package list_test

import (
	"slices"
	"testing"

	"github.com/go-arbiter/arbiter/internal/base/list"
	"pgregory.net/rapid"
)

type item struct {
	list.Links[item]
	n int
}

// Two lists have the same content as two slices, whatever is done with them.
func TestList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lists [2]list.List[item, *item]
		var models [2][]*item
		made := 0
		t.Repeat(map[string]func(*rapid.T){
			"pushBack": func(t *rapid.T) {
				at := rapid.IntRange(0, 1).Draw(t, "list")
				made++
				v := &item{n: made}
				lists[at].PushBack(v)
				models[at] = append(models[at], v)
			},
			"pushFront": func(t *rapid.T) {
				at := rapid.IntRange(0, 1).Draw(t, "list")
				made++
				v := &item{n: made}
				lists[at].PushFront(v)
				models[at] = slices.Insert(models[at], 0, v)
			},
			"insertAfter": func(t *rapid.T) {
				at := rapid.IntRange(0, 1).Draw(t, "list")
				if len(models[at]) == 0 {
					return // there is no position
				}
				i := rapid.IntRange(0, len(models[at])-1).Draw(t, "position")
				made++
				v := &item{n: made}
				lists[at].InsertAfter(models[at][i], v)
				models[at] = slices.Insert(models[at], i+1, v)
			},
			"move": func(t *rapid.T) {
				from := rapid.IntRange(0, 1).Draw(t, "list")
				if len(models[from]) == 0 {
					return // there is nothing to move
				}
				i := rapid.IntRange(0, len(models[from])-1).Draw(t, "position")
				v := models[from][i]
				lists[from].Remove(v)
				models[from] = slices.Delete(models[from], i, i+1)
				lists[1-from].PushBack(v)
				models[1-from] = append(models[1-from], v)
			},
			"remove while iterating": func(t *rapid.T) {
				at := rapid.IntRange(0, 1).Draw(t, "list")
				odd := func(v *item) bool { return v.n%2 == 1 }
				for v := range lists[at].All() {
					if odd(v) {
						lists[at].Remove(v)
					}
				}
				models[at] = slices.DeleteFunc(models[at], odd)
			},
			"": func(t *rapid.T) {
				for at := range lists {
					check(t, &lists[at], models[at])
				}
			},
		})
	})
}

func check(t *rapid.T, l *list.List[item, *item], want []*item) {
	got := slices.Collect(l.All())
	if !slices.Equal(got, want) || l.Len() != len(want) {
		t.Fatalf("the list has %d values, %v, want %v", l.Len(), got, want)
	}
	var first, last *item
	if len(want) > 0 {
		first, last = want[0], want[len(want)-1]
	}
	if l.First() != first || l.Last() != last {
		t.Fatalf("from %v to %v, want from %v to %v", l.First(), l.Last(), first, last)
	}
}

// Iteration can stop anywhere.
func TestStop(t *testing.T) {
	var l list.List[item, *item]
	for n := range 5 {
		l.PushBack(&item{n: n})
	}
	seen := 0
	for v := range l.All() {
		if seen++; v.n == 2 {
			break
		}
	}
	if seen != 3 {
		t.Errorf("%d values before the stop, want 3", seen)
	}
}

// A value needs no memory to be in a list.
func TestAllocations(t *testing.T) {
	var l list.List[item, *item]
	var v item
	if n := testing.AllocsPerRun(10, func() {
		l.PushBack(&v)
		l.Remove(&v)
	}); n > 0 {
		t.Errorf("%v allocations for a value that comes and goes", n)
	}
}
