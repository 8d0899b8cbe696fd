package faulty

import (
	"sync"
	"time"
)

// Rates say how often a seed strikes, in requests of a thousand, with each effect.
type Rates struct {
	Before, After, Twice, Slow int
	Longest                    time.Duration // of what is slow
}

// Struck is a fault that a seed has chosen.
type Struck struct {
	Fault
	Caller string
	Op     Op
	Call   int // which of the caller's requests of that kind, from 1
}

// Seeded returns hooks that strike by a seed. Whether the n-th request of a kind
// by a caller is struck, and how, depends on these and the seed alone, not on
// what others do meanwhile. Note is told of every fault, concurrently; it may be
// nil.
func Seeded(seed uint64, caller string, rates Rates, note func(Struck)) Hooks {
	var mu sync.Mutex
	calls := make(map[Op]int)
	return Hooks{Strike: func(op Op, _ int) Fault {
		mu.Lock()
		calls[op]++
		n := calls[op]
		mu.Unlock()
		fault := rates.draw(dice(seed, caller, op, n))
		if fault.Effect != None && note != nil {
			note(Struck{fault, caller, op, n})
		}
		return fault
	}}
}

// draw returns the fault for a random number.
func (r Rates) draw(x uint64) Fault {
	n := int(x % 1000)
	x /= 1000
	for _, e := range []struct {
		effect Effect
		rate   int
	}{{FailBefore, r.Before}, {FailAfter, r.After}, {Twice, r.Twice}, {Slow, r.Slow / 2}, {SlowReply, r.Slow - r.Slow/2}} {
		if n -= e.rate; n >= 0 {
			continue
		}
		f := Fault{Effect: e.effect}
		if e.effect == Slow || e.effect == SlowReply {
			f.For = time.Duration(x % uint64(max(r.Longest, 1)))
		}
		return f
	}
	return Fault{}
}

// dice returns the random number of a request.
func dice(seed uint64, caller string, op Op, n int) uint64 {
	const prime = 1099511628211
	h := seed ^ 14695981039346656037
	for _, s := range []string{caller, string(op)} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
		h *= prime
	}
	h += uint64(n) * 0x9e3779b97f4a7c15 // from here on as splitmix64
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
