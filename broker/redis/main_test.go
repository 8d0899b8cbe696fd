package redis_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

func TestMain(m *testing.M) {
	// Tests mostly wait, for leases or for the server, so more of them run at once than there
	// are processors. The long form runs under the race detector, where the emulated server
	// needs more processor time, so there it is fewer.
	testform.Parallel(testform.Pick(12, 3) * runtime.GOMAXPROCS(0))
	os.Exit(m.Run())
}
