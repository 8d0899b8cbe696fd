package squad_test

import (
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
)

func free(p *squad.Party) int { return p.Free }

func party(id byte, slots int, queues ...string) squad.Party {
	return squad.Party{ID: broker.ID{id}, Queues: queues, Slots: slots, Free: slots}
}

func TestPlan(t *testing.T) {
	for name, test := range map[string]struct {
		want    map[string]int
		parties []squad.Party
		ok      bool
	}{
		"no minion":            {map[string]int{"a": 1}, nil, false},
		"one minion":           {map[string]int{"a": 3}, []squad.Party{party(1, 3, "a")}, true},
		"too few":              {map[string]int{"a": 4}, []squad.Party{party(1, 3, "a")}, false},
		"two minions":          {map[string]int{"a": 4}, []squad.Party{party(2, 3, "a"), party(1, 3, "a")}, true},
		"another queue":        {map[string]int{"a": 4}, []squad.Party{party(2, 3, "a"), party(1, 3, "b")}, false},
		"slots once":           {map[string]int{"a": 2, "b": 2}, []squad.Party{party(1, 3, "a", "b")}, false},
		"must make room":       {map[string]int{"a": 2, "b": 2}, []squad.Party{party(1, 2, "a", "b"), party(2, 2, "a")}, true},
		"must make room twice": {map[string]int{"a": 1, "b": 1, "c": 1}, []squad.Party{party(1, 1, "a", "c"), party(2, 1, "b", "a"), party(3, 1, "b")}, true},
		"none for one":         {map[string]int{"a": 1, "b": 1}, []squad.Party{party(1, 1, "a", "b"), party(2, 0, "a")}, false},
	} {
		shares, ok := squad.Plan(test.want, test.parties, free)
		if ok != test.ok {
			t.Errorf("%s: %v, want %v", name, ok, test.ok)
			continue
		}
		if !ok {
			continue
		}
		slots := map[broker.ID]squad.Party{}
		for _, p := range test.parties {
			slots[p.ID] = p
		}
		got := map[string]int{}
		for i, s := range shares {
			n := 0
			for q, k := range s.Queues {
				got[q] += k
				n += k
			}
			if n != s.N || n > slots[s.Minion].Free || i > 0 && shares[i-1].Minion[0] >= s.Minion[0] {
				t.Errorf("%s: %+v", name, shares)
			}
		}
		for q, n := range test.want {
			if got[q] != n {
				t.Errorf("%s: %d members of queue %s are assigned, want %d", name, got[q], q, n)
			}
		}
	}
}
