package faulty

import (
	"sync"
	"time"
)

// Rates are the frequencies of the effects, in requests of a thousand.
type Rates struct {
	Before, After, Twice, Slow int
	Longest                    time.Duration // the longest delay of a slow request or reply
}

// Struck is a fault that a seed has chosen, and its request.
type Struck struct {
	Fault
	Caller string
	Op     Op
	Call   int // the number of the request among the caller's requests of that kind, from 1
}

// Seeded returns hooks whose faults depend on a seed. Whether and how the n-th request of a kind by
// a caller is struck depends on these values and the seed alone, and not on other callers. note is
// called for each fault, concurrently. It may be nil.
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
	h += uint64(n) * 0x9e3779b97f4a7c15 // the rest is the mixer of splitmix64
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
