package minion

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// picker says in which order queues are asked. It is for one goroutine.
type picker struct {
	names   []string
	weights []int // nil: always in the order of names
	order   []draw
	out     []string
}

type draw struct {
	name string
	key  float64
}

// next returns the queues in the order in which they are asked. The slice is
// valid until the next call.
func (p *picker) next() []string {
	if p.weights == nil || len(p.names) == 1 {
		return p.names
	}
	// A weighted shuffle (Efraimidis and Spirakis, 2006): exponential times of
	// arrival with the weights as their rates. The first is a given queue with
	// a probability of its share of all weights, and so on for the rest.
	p.order = p.order[:0]
	for i, name := range p.names {
		p.order = append(p.order, draw{name, rand.ExpFloat64() / float64(p.weights[i])})
	}
	slices.SortFunc(p.order, func(a, b draw) int { return cmp.Compare(a.key, b.key) })
	p.out = p.out[:0]
	for _, d := range p.order {
		p.out = append(p.out, d.name)
	}
	return p.out
}
