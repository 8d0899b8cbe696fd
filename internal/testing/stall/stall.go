// Package stall measures how long the machine did not let this process run. A test adds that time
// to its bounds on elapsed time, because the tested code is not responsible for it.
package stall

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// nap is how long a watch sleeps at a time.
const nap = 5 * time.Millisecond

// Hops is the number of goroutines and processes that may have to wait for a processor, one after
// the other, before a test sees the result that it waits for.
const Hops = 4

// Watch measures stalls. Its zero value is ready for Run.
type Watch struct {
	last  atomic.Int64 // when the watch last woke up, as Unix ns
	worst atomic.Int64 // the longest time that it woke up late, in ns
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
		// The runtime runs a goroutine whose timer has fired before those that wait in the queue.
		// Gosched puts this goroutine at the end of the queue, so it waits as long as they do.
		runtime.Gosched()
		w.worst.Store(int64(w.Longest()))
	}
}

// Longest returns the length of the longest stall, including a stall that still lasts. It is 0
// before Run.
func (w *Watch) Longest() time.Duration {
	last := w.last.Load()
	if last == 0 {
		return 0
	}
	now := time.Duration(time.Now().UnixNano()-last) - nap
	return max(now, time.Duration(w.worst.Load()))
}

// Late returns how long an action that should take d may take on a machine with these stalls.
func (w *Watch) Late(d time.Duration) time.Duration { return d + Hops*w.Longest() }
