package minion

import (
	"cmp"
	"math/rand/v2"
	"slices"
)

// A minion of several queues asks them in a certain order with each dequeue: always the
// same one, or a random one in which the weight of a queue decides how often it is first.

// picker chooses the order in which queues are asked. Only one goroutine may use it.
type picker struct {
	names   []string
	weights []int // nil if the order is strict
	order   []draw
	out     []string
}

type draw struct {
	name string
	key  float64
}

// next returns the queues in the order in which to ask them. The slice is valid until the
// next call.
func (p *picker) next() []string {
	if p.weights == nil || len(p.names) == 1 {
		return p.names
	}
	// This is a weighted shuffle (Efraimidis and Spirakis, 2006): each queue draws an
	// exponentially distributed time with its weight as the rate, and the earliest is
	// first. A queue is first with the probability of its share of all weights, and so
	// on for the rest.
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
