// Package remember says how long the id of an ended task is remembered at least.
// That is [broker.MinTombstone], which is a promise to all who send tasks. Tests and
// benchmarks that must outlive it make it shorter.
package remember

import (
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var shorter atomic.Int64 // 0 if it was not made shorter

// AtLeast returns how long the id of an ended task is remembered at least. A broker
// reads it when it is opened.
func AtLeast() time.Duration {
	if d := shorter.Load(); d > 0 {
		return time.Duration(d)
	}
	return broker.MinTombstone
}

// Shorten makes it d for brokers that are opened from now on, until restore is
// called.
func Shorten(d time.Duration) (restore func()) {
	shorter.Store(int64(d))
	return func() { shorter.Store(0) }
}
