package brokertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/broker/brokertest"
	"github.com/go-arbiter/arbiter/broker/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The suite on the broker in memory, in bubbles: time is exact, and whatever is
// woken by anything but a push is late.
func TestMemory(t *testing.T) {
	brokertest.Run(t, brokertest.Config{
		Open: func(testing.TB) brokertest.Harness {
			const lease = 15 * time.Second
			return brokertest.Harness{
				Broker:  memory.New(memory.Lease(lease)),
				Lease:   lease,
				CanJump: true,
				Slack:   time.Millisecond,
				Prompt:  time.Millisecond,
			}
		},
		Bubble: synctest.Test,
	})
}
