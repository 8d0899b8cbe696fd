package redistest

import (
	"sync/atomic"
	"time"
)

const (
	paceMost    = 4                     // upper limit of the measured slowdown
	paceCompute = 40 * time.Microsecond // time of a burst of computation on an ordinary machine
	paceTouch   = time.Microsecond      // time of the first write to a page of memory on an ordinary machine
)

// pace returns how much slower this machine is at the moment than an ordinary one: 1 if it is not
// slower, at most 4. It measures computation and the first use of memory, and returns the larger
// slowdown. Some virtual machines compute fast but need 15 times as long as others to get a page of
// memory, and a Redis server needs many pages after a start and beside a child that saves.
func pace() float64 {
	slower := max(float64(computes())/float64(paceCompute), float64(touches())/float64(paceTouch))
	return min(max(slower, 1), paceMost)
}

// computes returns the time of a short computation. It takes the best of several, since that one
// was not interrupted.
func computes() time.Duration {
	best := time.Hour
	x := computed.Load()
	for range 8 {
		began := time.Now()
		for range 20_000 {
			x = x*6364136223846793005 + 1442695040888963407
		}
		best = min(best, time.Since(began))
	}
	computed.Store(x) // so the compiler does not remove the computation
	return best
}

var computed atomic.Uint64
