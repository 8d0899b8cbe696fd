package brokertest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// defaultStuck is the default of Config.Stuck.
const defaultStuck = 30 * time.Second

// watchdog notices a test that is stuck: a call to the broker that does not
// return, or calls that go on without an end. It measures real time, also while
// the test runs in a bubble, so it must be made outside of one.
type watchdog struct {
	limit time.Duration
	lease atomic.Int64 // of the broker under test, in ns

	mu    sync.Mutex
	calls map[*call]struct{} // those that have not returned
	ended int                // how many have
}

// call is one call to the broker.
type call struct {
	what string
	may  time.Duration // how long it was asked to wait at most
	// ends has a flag for everything that ends a wait without a limit; such a call
	// is late only after one of them was set. Nil if the call may not wait at all.
	ends []*atomic.Bool
	late time.Duration // for how long the watchdog saw it as late
}

// begin notes a call. The result notes that it has returned.
func (w *watchdog) begin(c *call) func() {
	if w == nil {
		return func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[c] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.calls, c)
		w.ended++
	}
}

// isLate reports whether a call should have returned.
func (c *call) isLate() bool {
	return c.ends == nil || slices.ContainsFunc(c.ends, (*atomic.Bool).Load)
}

// watch returns when stop is closed, or with a report when the test is stuck. It
// counts the turns that it gets itself, and not the time that passes: a machine
// that lets nothing run is not the broker's fault.
func (w *watchdog) watch(stop <-chan struct{}) string {
	turn := max(w.limit/30, time.Millisecond)
	var all, quiet time.Duration
	last := 0
	for {
		select {
		case <-stop:
			return ""
		case <-time.After(turn):
		}
		w.mu.Lock()
		all += turn
		quiet += turn
		if w.ended != last {
			last, quiet = w.ended, 0
		}
		var stuck []string
		for c := range w.calls {
			if !c.isLate() {
				continue
			}
			c.late += turn
			// A slow machine may take long for a call, but not for every call at once.
			if over := c.late - c.may; over >= 4*w.limit || over >= w.limit && quiet >= w.limit {
				stuck = append(stuck, fmt.Sprintf("%s has not returned for %v.", c.what, c.late.Round(time.Millisecond)))
			}
		}
		w.mu.Unlock()
		slices.Sort(stuck)
		if limit := 10 * (w.limit + min(w.limit, time.Duration(w.lease.Load()))); stuck == nil && all >= limit {
			stuck = []string{fmt.Sprintf("The test has not ended for %v.", limit)}
		}
		if stuck != nil {
			return strings.Join(stuck, "\n")
		}
	}
}

// guarded runs the body of a test in its bubble and watches over it from outside.
// If it gets stuck, the program ends with a panic that says where every goroutine
// waits: nothing else ends a test whose goroutine does not return.
func (c Config) guarded(t *testing.T, body func(t *testing.T, cfg Config)) {
	t.Helper()
	if c.Stuck == 0 {
		c.Stuck = defaultStuck
	}
	if c.Stuck < 0 {
		c.bubble(t, func(t *testing.T) { body(t, c) })
		return
	}
	if c.onStuck == nil {
		c.onStuck = func(report string) { panic(report) }
	}
	c.dog = &watchdog{limit: c.Stuck, calls: map[*call]struct{}{}}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if why := c.dog.watch(stop); why != "" {
			c.onStuck(fmt.Sprintf("brokertest: %s is stuck. %s\n"+
				"A broker that holds a lock while it calls a callback, and a wait that nothing ends, look like this.\n"+
				"Config.Stuck sets the limit. All goroutines:\n\n%s", t.Name(), why, goroutines()))
		}
	}()
	defer func() {
		close(stop)
		<-done
	}()
	c.bubble(t, func(t *testing.T) { body(t, c) })
}

// goroutines returns where all goroutines wait.
func goroutines() []byte {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= 64<<20 {
			return buf[:n]
		}
	}
}
