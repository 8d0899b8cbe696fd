package brokertest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker/brokertest"
	"github.com/go-arbiter/arbiter/broker/memory"
)

// conformance is the body of a test in the package of a broker. This broker lives in one process,
// so the tests run in bubbles of fake time, where hours pass at once.
func conformance(t *testing.T) {
	brokertest.Run(t, brokertest.Config{
		Open: func(testing.TB) brokertest.Harness {
			const lease = 15 * time.Second
			return brokertest.Harness{
				Broker:  memory.New(memory.Lease(lease)), // a fresh, empty one
				Lease:   lease,
				CanJump: true,
				Slack:   time.Millisecond,
				Prompt:  time.Millisecond,
			}
		},
		Bubble: synctest.Test,
	})
}

// The suite is a test in the package of the broker:
//
//	func TestConformance(t *testing.T) { conformance(t) }
func ExampleRun() {
	test := testing.InternalTest{Name: "TestConformance", F: conformance}
	fmt.Println(test.Name)

	// Output: TestConformance
}
