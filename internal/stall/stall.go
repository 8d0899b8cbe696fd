// Package stall measures for how long the machine lets nothing here run. A test
// adds that to its bounds on elapsed time: what comes late for that is no fault of
// what is tested.
package stall

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// nap is how long a watch sleeps at a time.
const nap = 5 * time.Millisecond

// Hops is how many goroutines and processes, one after the other, may have to wait
// for their turn before a test sees what it waits for.
const Hops = 4

// Watch watches for stalls. Its zero value is ready for Run.
type Watch struct {
	last  atomic.Int64 // when the watch was last awake, as Unix ns
	worst atomic.Int64 // the longest that it overslept, in ns
}

// Start watches until the test ends.
func Start(t testing.TB) *Watch {
	w := new(Watch)
	stop := make(chan struct{})
	go w.Run(stop)
	t.Cleanup(func() { close(stop) })
	return w
}

// Run watches until stop is closed.
func (w *Watch) Run(stop <-chan struct{}) {
	for {
		w.last.Store(time.Now().UnixNano())
		select {
		case <-stop:
			return
		case <-time.After(nap):
		}
		// A goroutine whose timer has fired runs next, before all that wait for their
		// turn. After this it has waited for its turn as they do.
		runtime.Gosched()
		w.worst.Store(int64(w.Longest()))
	}
}

// Longest returns how long the longest stall was, or is. It is 0 if nobody
// watches.
func (w *Watch) Longest() time.Duration {
	last := w.last.Load()
	if last == 0 {
		return 0
	}
	now := time.Duration(time.Now().UnixNano()-last) - nap
	return max(now, time.Duration(w.worst.Load()))
}

// Late returns how long something may take that should take d, on a machine that
// stalls as this one has.
func (w *Watch) Late(d time.Duration) time.Duration { return d + Hops*w.Longest() }
