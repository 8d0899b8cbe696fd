package brokertest_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The broker in memory passes the suite. Its time is exact, so a wake-up by anything but a push is
// late.
func TestMemory(t *testing.T) { conformance(t) }
