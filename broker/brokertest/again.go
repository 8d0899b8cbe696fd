package brokertest

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	tries = 5 // how often a test runs at most if the machine stalls

	// spoils is the shortest stall that can fail a correct broker: during a stall a lease can end,
	// or a push can be late.
	spoils = 100 * time.Millisecond
)

// trial is one run of a test.
type trial struct {
	faults    []string      // the failures
	stalled   time.Duration // the longest stall meanwhile
	lease     time.Duration // the lease of the broker
	unrenewed time.Duration // for how long the suite had not renewed a lease that was then lost
}

// spoiled reports whether a correct broker may have failed, because the machine stalled or because
// the suite itself let the lease of a minion end.
func (r trial) spoiled() bool {
	return r.stalled >= spoils || r.lease > 0 && r.unrenewed >= r.lease
}

func (r trial) String() string { return strings.Join(r.faults, "\n") }

// run runs a test. If the test fails in real time, and the machine may be the cause, run repeats it
// with a fresh broker and, if possible, with a longer lease. A fault of the broker makes it fail
// again.
func (c Config) run(t *testing.T, test test) {
	t.Helper()
	if c.Bubble != nil { // nothing stalls there
		c.guarded(t, func(t *testing.T, cfg Config) { test.body(newRig(t, cfg)) })
		return
	}
	for try := 1; ; try++ {
		last := c.try(t, test)
		if len(last.faults) == 0 {
			return
		}
		if !last.spoiled() || try == tries {
			t.Fatal(last)
		}
		t.Logf("the test is repeated, because the machine stalled for %v or the suite did not renew a lease of %v for %v. The failure was:\n%v",
			last.stalled, last.lease, last.unrenewed, last)
		if lease := 2 * last.lease; c.Longer != nil && test.needs&needLapse != 0 && lease > 0 {
			c.Open = func(t testing.TB) Harness { return c.Longer(t, lease) }
		}
	}
}

// try runs a test once.
func (c Config) try(t *testing.T, test test) (last trial) {
	t.Helper()
	c.guarded(t, func(t *testing.T, cfg Config) {
		tb := &collector{TB: t}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		var r *rig
		go func() { // a failure ends this goroutine with runtime.Goexit
			defer close(done)
			r = rigOn(ctx, tb, cfg)
			test.body(r)
		}()
		<-done
		if r != nil {
			last.stalled, last.lease, last.unrenewed = r.stalled(), r.Lease, r.unrenewed.get()
		}
		if c.stalled != nil {
			last.stalled = c.stalled()
		}
		cancel()
		tb.cleanup()
		last.faults = tb.faults
	})
	return last
}

// collector is a testing.TB that collects failures and clean-ups. It runs the clean-ups when
// cleanup is called.
type collector struct {
	testing.TB

	mu       sync.Mutex
	faults   []string
	cleanups []func()
}

func (c *collector) note(text string) {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var lines []string
	for { // frames of the test and its helpers only
		f, more := frames.Next()
		if !strings.Contains(f.Function, "/brokertest.") || strings.Contains(f.Function, ".Config.") {
			break
		}
		lines = append(lines, fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line))
		if !more {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Reverse(lines)
	c.faults = append(c.faults, strings.Join(lines, ", ")+": "+text)
}

func (c *collector) Errorf(format string, args ...any) { c.note(fmt.Sprintf(format, args...)) }
func (c *collector) Error(args ...any)                 { c.note(strings.TrimSpace(fmt.Sprintln(args...))) }

func (c *collector) Fatalf(format string, args ...any) {
	c.note(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

func (c *collector) Fatal(args ...any) {
	c.note(strings.TrimSpace(fmt.Sprintln(args...)))
	runtime.Goexit()
}

func (c *collector) Failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.faults) > 0
}

func (c *collector) Cleanup(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleanups = append(c.cleanups, fn)
}

func (c *collector) cleanup() {
	for {
		c.mu.Lock()
		n := len(c.cleanups)
		if n == 0 {
			c.mu.Unlock()
			return
		}
		fn := c.cleanups[n-1]
		c.cleanups = c.cleanups[:n-1]
		c.mu.Unlock()
		fn()
	}
}
