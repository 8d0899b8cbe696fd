package brokertest

import (
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Harness is one fresh, empty broker and what the suite may do to it. Broker
// and Lease must be set; the rest has defaults or is optional.
type Harness struct {
	// Broker is under test. The suite closes it, and what Reopen returned.
	Broker broker.Broker

	// Lease is the lease its consumers get.
	Lease time.Duration

	// Advance lets d pass by the broker's clock and lets everything that becomes
	// due meanwhile happen. Default [time.Sleep]. Besides, the broker's clock
	// must run by itself: times of less than a second are also just waited for.
	Advance func(d time.Duration)

	// CanJump says that Advance can let hours pass at once. The suite asks for
	// more than a few leases only if it is set, and nothing waits meanwhile.
	CanJump bool

	// Now returns the broker's time. Default [time.Now].
	Now func() time.Time

	// Reopen returns another client of the same store, as another process would
	// have it. Nil if a store lives in one process only.
	Reopen func(t testing.TB) broker.Broker

	// Malform puts raw bytes at the end of a queue, as a foreign or newer program
	// might have. Nil if that is not possible.
	Malform func(queue string, record []byte)

	// Slack is how late a due time or the end of a retention may be noticed.
	// Default 50 ms.
	Slack time.Duration

	// Prompt is how long a push may take to arrive: a wake-up, a letter, a
	// cancellation. It must be shorter than any interval at which the broker
	// looks by itself, or a lost wake-up goes unnoticed. What the machine stalls
	// meanwhile is added. Default 1 s.
	Prompt time.Duration
}

// Config says how to run the suite.
type Config struct {
	// Open returns a fresh, empty broker. It is called once per test, and once
	// before the first to see what the broker can do. Clean-up goes to
	// t.Cleanup.
	Open func(t testing.TB) Harness

	// Patient, if set, opens the broker for tests that let no lease end. Its lease
	// should be so long that no test takes as long, such as a minute: then a
	// machine that stalls does not cost a minion its tasks. By default these tests
	// use Open too.
	Patient func(t testing.TB) Harness

	// Ping, if set, asks the store for the least that it answers, such as PING. A store in
	// another process may be late because the machine is busy. So Run calls Ping every
	// 20 ms, from one goroutine, and adds what the answers take to what a test allows a
	// broker. It is not used in a bubble.
	Ping func() error

	// Bubble, if set, runs the body of each test, including Open. A broker that
	// lives in one process passes [testing/synctest.Test]. The bodies call
	// neither t.Run nor rapid.Check.
	Bubble func(t *testing.T, body func(t *testing.T))

	// Parallel lets the tests run at the same time, as many as the flag -parallel
	// says. It makes the suite quicker where most of the time is spent waiting.
	Parallel bool

	// Light leaves out the tests that fill an inbox or a topic with more than
	// 100,000 entries, and shortens the races. It is meant for emulated stores.
	Light bool

	// Groups, if set, names the groups that run, besides Model; by default all do. It is
	// meant for a second run on a broker with other settings, which concern some groups
	// only.
	Groups []string

	// Stuck is how long a call to the broker may take before the suite gives up: it
	// ends the program with a report of where every goroutine waits. A whole test may
	// take ten times as long, and up to ten leases more. It is real time, also in a
	// bubble. Default 30 s; a negative one turns it off, as for a debugger.
	Stuck time.Duration

	// ModelTime bounds the time that is spent on random operations unless they
	// find a fault. Default 2 s.
	ModelTime time.Duration

	dog     *watchdog           // of the test that runs; nil if nobody watches
	onStuck func(report string) // a panic if nil; for tests of the suite

	answers *answers             // of Ping; nil if nobody asks
	patient bool                 // whether Open is Patient
	stalled func() time.Duration // the longest stall of a try; for tests of the suite
}

func (c Config) open(t testing.TB) Harness {
	t.Helper()
	h := c.Open(t)
	if h.Broker == nil || h.Lease <= 0 {
		t.Fatalf("the harness needs a Broker and a Lease")
	}
	if h.Advance == nil {
		h.Advance = time.Sleep
	}
	if h.Now == nil {
		h.Now = time.Now
	}
	if h.Slack == 0 {
		h.Slack = 50 * time.Millisecond
	}
	if h.Prompt == 0 {
		h.Prompt = time.Second
	}
	return h
}

// bubble runs body in the bubble, or as it is if there is none.
func (c Config) bubble(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if c.Bubble == nil {
		body(t)
		return
	}
	c.Bubble(t, body)
}
