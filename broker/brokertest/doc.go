// Package brokertest is the conformance suite of the contract in package
// broker. A test of a new broker runs it; see the example of [Run].
//
// # Contents
//
// Every promise of the contract is a test with a name, such as Cancel/WaitingNeverStarts, so the
// name of a failed test says which promise was broken. Most groups of tests follow the methods of
// the contract. Five groups work in other ways:
//
//   - Stress runs many consumers at once, and checks the recorded history afterwards.
//   - Model draws random operations, and compares the broker with a small state machine
//     after each of them.
//   - Fault lets requests fail before or after they are carried out, or be carried out
//     twice. A seed decides which. Clients repeat the requests, and each task must still
//     end once.
//   - Linear runs several clients at once, with such faults and without them. It checks
//     with porcupine that some order of their operations explains all that they saw: of
//     cancels, dequeues and settlements, of unique keys, of documents, and of a task that
//     several clients enqueue.
//   - Capability checks that a broker without a capability refuses a request that needs
//     it. It runs for every broker.
//
// Each test opens an empty broker of its own with [Config.Open]. The tests of an optional
// capability, such as [broker.Flows] or [broker.Squads], run if the broker implements it. Other
// abilities are optional fields of the [Harness]: a second client of the store, a clock that jumps,
// records of another program. A test that needs a missing one does not run, and the log names the
// test and the missing ability.
//
// # Time
//
// The suite works with three kinds of clock. A broker in memory runs in a [testing/synctest] bubble
// ([Config.Bubble]), where hours pass at once. An emulated store may let its clock jump
// ([Harness.Advance] with [Harness.CanJump]). On a real server the time is real. There the suite
// waits only for a few leases and for delays of less than a second. So a short lease, such as one
// or two seconds, makes the suite fast, and [Config.Parallel] makes it faster.
//
// In real time a stall of the machine can fail a correct broker. A test that fails while the
// machine stalls for 100 ms or more runs again with a new broker, up to four times, and the log
// says so. A fault of the broker fails it each time.
//
// # A test that hangs
//
// A faulty broker may never return from a call, mostly because it holds a lock while it runs a
// callback. After [Config.Stuck] the suite ends the test program, and prints where every goroutine
// waits. The first lines name the test and the call.
//
// # Where the contract leaves room
//
// The suite accepts everything that the contract allows. Examples:
//
//   - A dequeue returns fewer tasks than there are.
//   - A retry is settled again, and the answer is nil or [broker.ErrLeaseLost].
//   - A running task is cancelled and its owner dies: the task is canceled at once, or is
//     handed out with Canceled set.
//   - A consumer is notified of arrivals more often than necessary.
//   - The tasks of a consumer that closed or died stand in any order among themselves.
//
// The suite is strict where users would notice a difference:
//
//   - Attempts are numbered without gaps.
//   - Pending tasks are handed out in the order that package broker promises. The tasks
//     of a consumer that closed or died stand in front of all other pending tasks.
//   - A delivered task equals the enqueued one, except for Delay, Deadline and Blocked.
package brokertest
