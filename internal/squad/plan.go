package squad

import (
	"bytes"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// Party is a minion and what it says of its slots.
type Party struct {
	ID     broker.ID
	Queues []string
	Slots  int
	Free   int
	Held   int // for squads that may not start
}

// Share is the part of a squad that one minion gets.
type Share struct {
	Minion broker.ID
	N      int
	Queues map[string]int // how many members of each queue
}

// Plan finds a place for each member, of which want says how many there are in
// each queue, at a minion that serves its queue; a minion of several queues has
// its slots once. Room says how many a minion can take. It returns the minions'
// shares in the order of their ids: if all squads ask in the same order, they
// meet at the first minion that they share. It is not ok if there is no room.
func Plan(want map[string]int, parties []Party, room func(*Party) int) (shares []Share, ok bool) {
	p := planner{flow: make(map[string][]int), left: make([]int, len(parties)), parties: slices.Clone(parties)}
	slices.SortFunc(p.parties, func(a, b Party) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for i := range p.parties {
		p.left[i] = room(&p.parties[i])
	}
	queues := make([]string, 0, len(want))
	for q := range want {
		queues = append(queues, q)
		p.flow[q] = make([]int, len(parties))
	}
	slices.Sort(queues)
	for _, q := range queues {
		n := want[q]
		for i := range p.parties { // most of them, at once
			if p.serves(i, q) {
				k := max(min(n, p.left[i]), 0)
				p.flow[q][i] += k
				p.left[i] -= k
				n -= k
			}
		}
		for ; n > 0; n-- { // the rest, one by one
			if !p.place(q, map[string]bool{}) {
				return nil, false
			}
		}
	}
	for i := range p.parties {
		s := Share{Minion: p.parties[i].ID, Queues: make(map[string]int)}
		for _, q := range queues {
			if n := p.flow[q][i]; n > 0 {
				s.Queues[q] = n
				s.N += n
			}
		}
		if s.N > 0 {
			shares = append(shares, s)
		}
	}
	return shares, true
}

// planner looks for a flow from queues to minions.
type planner struct {
	parties []Party
	left    []int
	flow    map[string][]int // queue -> how many of its members each party gets
}

func (p *planner) serves(i int, q string) bool { return slices.Contains(p.parties[i].Queues, q) }

// place finds a place for one more member of a queue; those of other queues, but
// those in seen, may have to go elsewhere for it.
func (p *planner) place(q string, seen map[string]bool) bool {
	seen[q] = true
	for i := range p.parties {
		if p.serves(i, q) && p.left[i] > 0 {
			p.left[i]--
			p.flow[q][i]++
			return true
		}
	}
	for i := range p.parties {
		if !p.serves(i, q) {
			continue
		}
		for other, at := range p.flow {
			if at[i] > 0 && !seen[other] && p.place(other, seen) {
				at[i]--
				p.flow[q][i]++
				return true
			}
		}
	}
	return false
}
