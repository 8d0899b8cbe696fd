package redis_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/go-arbiter/arbiter/internal/testform"
)

func TestMain(m *testing.M) {
	testform.Parallel(12 * runtime.GOMAXPROCS(0)) // they wait for leases, and for what the server tells
	os.Exit(m.Run())
}
