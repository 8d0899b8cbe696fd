// Package brokertest is the conformance suite of the contract in package
// broker. A test of a new broker runs it; see the example of [Run].
//
// # What it asks for
//
// Every promise of the contract is a named test, such as
// Cancel/WaitingNeverStarts, so that a failure says what was broken. The
// groups follow the contract's methods; Stress runs many consumers at once and
// checks the history afterwards; Model draws random operations and compares
// the broker with a small state machine after each of them. Fault lets requests
// fail before or after they are carried out, or be carried out twice, by a seed,
// and clients repeat them: each task ends once all the same. Linear has clients at
// once, with and without such faults, and looks for an order of their operations
// that explains what each of them saw (with porcupine): a cancel against a dequeue
// and a settlement, unique keys, one task that is enqueued by several.
//
// Each test opens an empty broker of its own with [Config.Open]. The tests of an
// optional capability ([broker.Flows], [broker.Squads], [broker.Inspector]) run if
// the broker implements it. What else a broker can't do (a second client, a clock
// that jumps, records from elsewhere) is left out of its [Harness]. The tests for it
// are then not run at all, and the log says which and why.
//
// A broker without a capability must refuse what would need it: that is a test of
// every broker.
//
// # Time
//
// Three kinds of clock are provided for. A broker in memory runs in a
// [testing/synctest] bubble ([Config.Bubble]), where hours pass in no time. An
// emulated store may let its clock jump ([Harness.Advance] with
// [Harness.CanJump]). On a real server time is real: the suite then asks only
// for short times, a few leases and delays of less than a second, so a lease of
// one second or less makes it quick, and [Config.Parallel] makes it quicker.
//
// # A test that hangs
//
// A call that does not return, mostly for a lock that is held while a callback
// runs, ends the test program after [Config.Stuck] with a report of where every
// goroutine waits. The first lines name the test and the call.
//
// # Where the contract leaves room
//
// The suite takes the contract at its word and accepts whatever it allows:
// a dequeue that returns fewer than there are, a repeated settlement of a retry
// that is answered with nil or [broker.ErrLeaseLost], a canceled task whose
// owner died that is final at once or handed out marked, a consumer that is told
// of arrivals more often than needed. It is strict where users would notice:
// attempts are numbered without gaps, tasks come in the order that package broker
// promises, what comes back from a dead or closed consumer stands in front of all
// that is pending, and a record that is handed out equals the one enqueued but for
// Delay, Deadline and Blocked.
package brokertest
