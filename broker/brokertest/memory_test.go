package brokertest_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The suite on the broker in memory: time is exact, and whatever is woken by
// anything but a push is late.
func TestMemory(t *testing.T) { conformance(t) }
