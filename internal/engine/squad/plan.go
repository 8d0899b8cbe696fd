package squad

import (
	"bytes"
	"slices"

	"github.com/go-arbiter/arbiter/broker"
)

// Party is a minion with its numbers of slots.
type Party struct {
	ID       broker.ID
	Queues   []string
	Slots    int
	Free     int
	Reserved int // reserved for squads that may not start
}

// Room returns how many members that take each so many slots fit into a part of the minion's
// slots.
func (p *Party) Room(slots, each int) int { return slots / takes(each, p.Slots) }

// Usable returns how many of the slots such members can use.
func (p *Party) Usable(slots, each int) int { return slots - slots%takes(each, p.Slots) }

// Share is the part of a squad that one minion gets.
type Share struct {
	Minion broker.ID
	N      int            // members in total
	Queues map[string]int // by queue: how many members
}

// Plan assigns the members of a squad to minions. want has the number of members of each queue;
// a member goes to a minion that serves its queue. room returns how many members a minion can
// take in total. The shares are in the order of the minions' ids: since all squads ask minions
// in the same order, two of them that compete meet at the first minion that they share. ok is
// false if there is not enough room.
func Plan(want map[string]int, parties []Party, room func(*Party) int) (shares []Share, ok bool) {
	p := planner{assigned: make(map[string][]int), left: make([]int, len(parties)), parties: slices.Clone(parties)}
	slices.SortFunc(p.parties, func(a, b Party) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for i := range p.parties {
		p.left[i] = room(&p.parties[i])
	}
	queues := make([]string, 0, len(want))
	for q := range want {
		queues = append(queues, q)
		p.assigned[q] = make([]int, len(parties))
	}
	slices.Sort(queues)
	for _, q := range queues {
		n := want[q]
		for i := range p.parties { // takes most members, many at a time
			if p.serves(i, q) {
				k := max(min(n, p.left[i]), 0)
				p.assigned[q][i] += k
				p.left[i] -= k
				n -= k
			}
		}
		for ; n > 0; n-- { // takes the rest one by one
			if !p.assign(q, map[string]bool{}) {
				return nil, false
			}
		}
	}
	for i := range p.parties {
		s := Share{Minion: p.parties[i].ID, Queues: make(map[string]int)}
		for _, q := range queues {
			if n := p.assigned[q][i]; n > 0 {
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

// planner solves the assignment as a flow problem: members flow from queues to minions, along
// augmenting paths.
type planner struct {
	parties  []Party
	left     []int            // room left, by party
	assigned map[string][]int // by queue: how many of its members each party gets
}

// serves reports whether party i serves queue q.
func (p *planner) serves(i int, q string) bool { return slices.Contains(p.parties[i].Queues, q) }

// assign assigns one more member of a queue. If no party has room, it moves a member of another
// queue to another party; seen has the queues that were tried already.
func (p *planner) assign(q string, seen map[string]bool) bool {
	seen[q] = true
	for i := range p.parties {
		if p.serves(i, q) && p.left[i] > 0 {
			p.left[i]--
			p.assigned[q][i]++
			return true
		}
	}
	for i := range p.parties {
		if !p.serves(i, q) {
			continue
		}
		for other, at := range p.assigned {
			if at[i] > 0 && !seen[other] && p.assign(other, seen) {
				at[i]--
				p.assigned[q][i]++
				return true
			}
		}
	}
	return false
}
