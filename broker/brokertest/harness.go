package brokertest

import (
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
)

// Harness is one empty broker and the means to test it. Broker and Lease must be set. The other
// fields have defaults or are optional.
type Harness struct {
	// Broker is the broker under test. The suite closes it, and every broker that Reopen returns.
	Broker broker.Broker

	// Lease is the lease of the broker's consumers, as their method Lease returns it.
	Lease time.Duration

	// Advance lets d pass on the broker's clock, and lets everything happen that becomes due
	// meanwhile. The default is [time.Sleep]. The broker's clock must also run by itself, since the
	// suite sleeps for times of less than a second.
	Advance func(d time.Duration)

	// CanJump reports that Advance can let hours pass at once. Without it the suite advances a few
	// leases at most. While the clock jumps, no call to the broker is waiting.
	CanJump bool

	// Now returns the time of the broker's clock. The default is [time.Now].
	Now func() time.Time

	// Reopen returns another client of the same store, as another process would open it. It is nil
	// if the store lives in one process only.
	Reopen func(t testing.TB) broker.Broker

	// Malform puts raw bytes at the end of a queue, where a record of a pending task would be, as
	// another program or a newer version might do. It is nil if that is not possible.
	Malform func(queue string, record []byte)

	// Slack is how late the broker may notice a due time or the end of a retention. The default is
	// 50 ms.
	Slack time.Duration

	// Prompt is how long a push may take to arrive: a wake-up, a notice or a cancellation. It must
	// be shorter than every interval at which the broker polls, because a longer one would hide a
	// lost wake-up. The suite adds the time for which the machine stalls. The default is 1 s.
	Prompt time.Duration
}

// Config configures a run of the suite.
type Config struct {
	// Open returns an empty broker. It must be set. The suite calls it for each run of a test, and
	// once before the first test to find out the broker's capabilities. Open registers clean-up
	// with t.Cleanup.
	Open func(t testing.TB) Harness

	// Patient, if set, opens the broker for tests in which no lease may end. Its lease should be
	// longer than any test, such as one minute: then a stall of the machine does not end the lease
	// of a consumer. By default these tests use Open too.
	Patient func(t testing.TB) Harness

	// Longer, if set, opens the broker with the given lease. If the machine is so busy that a test
	// in which leases end has failed because of that, the test is repeated with a lease that is
	// twice as long, up to 16 times the one of Open. By default each repetition uses Open.
	Longer func(t testing.TB, lease time.Duration) Harness

	// Ping, if set, sends the store its cheapest request, such as PING. On a busy machine a store
	// in another process may be late. So Run calls Ping every 20 ms from one goroutine, and allows
	// the broker as much more time as the slowest answer took. It is not used in a bubble.
	Ping func() error

	// Bubble, if set, runs the body of each test, including Open. For a broker that lives in one
	// process it is [testing/synctest.Test]. No body calls t.Run or rapid.Check.
	Bubble func(t *testing.T, body func(t *testing.T))

	// Parallel lets tests run at the same time, up to the number of the flag -parallel. It makes
	// the suite faster if most of its time is spent waiting.
	Parallel bool

	// Light leaves out the tests that fill an inbox or a topic with more than 100,000 entries, and
	// shortens the tests of races. It is meant for emulated stores.
	Light bool

	// Groups, if set, names the groups to run, such as "Enqueue". An unknown name fails the run.
	// Model always runs, and can't be named. By default all groups run. Groups is meant for a second
	// run on a broker with settings that concern only some groups.
	Groups []string

	// Stuck is how long a call to the broker may take. After that the suite ends the program, and
	// prints where every goroutine waits. A whole test may take ten times as long, plus up to ten
	// leases. It is real time, also in a bubble. The default is 30 s. A negative value turns it
	// off, for example for a debugger.
	Stuck time.Duration

	// ModelTime bounds the time for random operations. It does not bound the search for a shorter
	// program after a failure. The default is 2 s.
	ModelTime time.Duration

	dog     *watchdog           // watches the current test; nil if Stuck is negative
	onStuck func(report string) // called instead of a panic, in tests of the suite

	answers *answers             // how long Ping takes; nil without Ping
	patient bool                 // Open has been replaced by Patient
	stalled func() time.Duration // replaces the measured stall, in tests of the suite
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

// bubble runs body in the bubble, or directly if there is none.
func (c Config) bubble(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if c.Bubble == nil {
		body(t)
		return
	}
	c.Bubble(t, body)
}
