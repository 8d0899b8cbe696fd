// Package remember has the shortest time for which the id of an ended task is remembered. It is
// [broker.MinTombstone], which is a promise to all programs that send tasks. Tests and
// benchmarks that must outlive it make it shorter.
package remember

import (
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

var shorter atomic.Int64 // nanoseconds; 0 if the time was not made shorter

// AtLeast returns the shortest time for which the id of an ended task is remembered. A broker
// reads it when it is opened.
func AtLeast() time.Duration {
	if d := shorter.Load(); d > 0 {
		return time.Duration(d)
	}
	return broker.MinTombstone
}

// Shorten sets the time to d for brokers that are opened until restore is called.
func Shorten(d time.Duration) (restore func()) {
	shorter.Store(int64(d))
	return func() { shorter.Store(0) }
}
