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

// watchdog finds a test that is stuck: a call to the broker does not return, or the test makes
// calls without end. It measures real time, also while the test runs in a bubble, so it must be
// created outside of the bubble.
type watchdog struct {
	limit time.Duration
	lease atomic.Int64 // lease of the broker under test, in ns

	mu    sync.Mutex
	calls map[*call]struct{} // calls that have not returned
	ended int                // number of calls that have returned
}

// call is one call to the broker.
type call struct {
	what string
	may  time.Duration // the longest wait that the caller asked for
	// ends has a flag for each event that ends a wait without a limit. Such a call is late only
	// after one of the flags was set. It is nil if the call must not wait at all.
	ends []*atomic.Bool
	late time.Duration // how long the watchdog has seen it as late
}

// begin registers a call. The returned function must be called when the call returns.
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

// watch returns when stop is closed, or with a report when the test is stuck. It counts its own
// turns, and not the time that passes: if the machine lets nothing run, the broker is not at fault.
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
			// On a slow machine one call may take long, but not all calls at once.
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

// guarded runs the body of a test in its bubble, and watches it from outside. If the test gets
// stuck, the program ends with a panic that prints where every goroutine waits. A panic is the only
// way to end a test whose goroutine does not return.
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
				"Usual causes: the broker holds a lock while it runs a callback, or a wait does not end with its context or with Close.\n"+
				"Config.Stuck sets the limit. All goroutines:\n\n%s", t.Name(), why, goroutines()))
		}
	}()
	defer func() {
		close(stop)
		<-done
	}()
	c.bubble(t, func(t *testing.T) { body(t, c) })
}

// goroutines returns the stacks of all goroutines.
func goroutines() []byte {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= 64<<20 {
			return buf[:n]
		}
	}
}
