package redis_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/go-arbiter/arbiter/internal/testform"
)

func TestMain(m *testing.M) {
	// They wait for leases, and for what the server tells. The long form runs under the
	// race detector, where the emulated server needs much of the machine.
	testform.Parallel(testform.Pick(12, 3) * runtime.GOMAXPROCS(0))
	os.Exit(m.Run())
}
