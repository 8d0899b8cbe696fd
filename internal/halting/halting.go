// Package halting has what tests change about the kills of large flows: see
// broker.Halter and package internal/flow.
package halting

import (
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var large, patience atomic.Int64

func init() { Set(broker.MaxBatch+1, broker.HaltPatience) }

// Set says from how many members on a flow is large, and how long whoever has halted one
// is left to kill it. It returns a function that sets both back. It is for tests.
func Set(members int, wait time.Duration) (back func()) {
	m, w := large.Swap(int64(members)), patience.Swap(int64(wait))
	return func() {
		large.Store(m)
		patience.Store(w)
	}
}

// Large reports whether a flow with so many members is halted before it is killed.
func Large(members int) bool { return int64(members) >= large.Load() }

// Patience is how long whoever has halted a flow is left to kill it.
func Patience() time.Duration { return time.Duration(patience.Load()) }
