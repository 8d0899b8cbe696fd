package isolate

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// On systems where a parent can't see the memory of its children, a child watches its own.
func TestWatchSelf(t *testing.T) {
	debug.FreeOSMemory() // so that the test can't use memory of an earlier one
	before := mapped()
	if before < 1<<20 || before > 1<<40 {
		t.Fatalf("mapped returned %d bytes", before)
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
		t.Errorf("%d bytes are mapped, and watchSelf has not returned", mapped())
	}
	runtime.KeepAlive(hold)
}
