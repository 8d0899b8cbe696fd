// Package halting has the two constants of the kill of large flows that tests change: see
// broker.Halter and package internal/engine/flow.
package halting

import (
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var large, patience atomic.Int64

func init() { Set(broker.MaxBatch+1, broker.HaltPatience) }

// Set sets the number of members from which on a flow is large, and how long a process that has
// halted a flow has to kill it. back restores both. It is for tests.
func Set(members int, wait time.Duration) (back func()) {
	m, w := large.Swap(int64(members)), patience.Swap(int64(wait))
	return func() {
		large.Store(m)
		patience.Store(w)
	}
}

// Large reports whether a flow with that many members is halted before it is killed.
func Large(members int) bool { return int64(members) >= large.Load() }

// Patience returns how long a process that has halted a flow has to kill it. After that the
// broker lets another process finish the kill.
func Patience() time.Duration { return time.Duration(patience.Load()) }
