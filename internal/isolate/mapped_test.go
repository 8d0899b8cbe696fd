package isolate

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// Where a parent can't look at its children, they look at themselves.
func TestWatchSelf(t *testing.T) {
	debug.FreeOSMemory() // else what another run has left is used again
	before := mapped()
	if before < 1<<20 || before > 1<<40 {
		t.Fatalf("%d bytes", before)
	}
	over := make(chan struct{})
	go func() {
		watchSelf(before + 100<<20)
		close(over)
	}()
	select {
	case <-over:
		t.Fatal("over the limit too early")
	case <-time.After(3 * glance):
	}
	hold := slices.Repeat([]byte{1}, 200<<20)
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		t.Errorf("%d bytes, and not over the limit", mapped())
	}
	runtime.KeepAlive(hold)
}
