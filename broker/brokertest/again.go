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

// run runs a test. If the test fails in real time and the machine stalled meanwhile, run repeats it
// with a fresh broker. A fault of the broker makes it fail again.
func (c Config) run(t *testing.T, test test) {
	t.Helper()
	if c.Bubble != nil { // nothing stalls there
		c.guarded(t, func(t *testing.T, cfg Config) { test.body(newRig(t, cfg)) })
		return
	}
	for try := 1; ; try++ {
		faults, stalled := c.try(t, test)
		if len(faults) == 0 {
			return
		}
		if stalled < spoils || try == tries {
			t.Fatal(strings.Join(faults, "\n"))
		}
		t.Logf("the machine stalled for %v during this failure, so the test is repeated. The failure was:\n%s", stalled, strings.Join(faults, "\n"))
	}
}

// try runs a test once. It returns the failures, and the longest stall during the test.
func (c Config) try(t *testing.T, test test) (faults []string, stalled time.Duration) {
	t.Helper()
	c.guarded(t, func(t *testing.T, cfg Config) {
		tb := &collector{TB: t}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		var r *rig
		go func() { // a failure ends this goroutine with runtime.Goexit
			defer close(done)
			r = rigOn(tb, ctx, cfg)
			test.body(r)
		}()
		<-done
		switch {
		case c.stalled != nil:
			stalled = c.stalled()
		case r != nil:
			stalled = r.stalled()
		}
		cancel()
		tb.cleanup()
		faults = tb.faults
	})
	return faults, stalled
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
