package brokertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker/brokertest"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/plain"
)

// A broker without optional capabilities passes the suite. A new broker is like that at first.
func TestPlain(t *testing.T) {
	brokertest.Run(t, brokertest.Config{
		Open: func(testing.TB) brokertest.Harness {
			const lease = 15 * time.Second
			return brokertest.Harness{
				Broker: plain.Broker{Broker: memory.New(memory.Lease(lease))},
				Lease:  lease, CanJump: true, Slack: time.Millisecond, Prompt: time.Millisecond,
			}
		},
		Bubble:    synctest.Test,
		ModelTime: 200 * time.Millisecond,
	})
}
