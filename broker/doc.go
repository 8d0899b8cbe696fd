// Package broker is the contract between the halves of Arbiter: what an
// arbiter asks of the place that keeps tasks, and what a minion asks of it.
// It holds no implementation; broker/memory and broker/redis do, and
// broker/brokertest is the suite that proves one.
//
// # The model
//
// A broker keeps [Task] records in named queues and moves bytes: it never looks
// into a payload, knows no retry policy and runs no handler. Each task passes
// through the states of [State]:
//
//	scheduled ──due──▶ pending ──dequeue──▶ running ──▶ succeeded | failed | canceled | expired
//	blocked ──group──▶ pending ◀──due── retrying ◀──settle──┘
//
// An arbiter calls [Broker.Enqueue], [Broker.Lookup] and [Broker.Cancel] and
// reads results from its [Inbox]. A minion opens a [Consumer], takes batches
// of [Delivery] from it, reports what became of them with
// [Consumer.Settle], and stays the owner of what it holds as long as its
// [Consumer.Heartbeat] is heard.
//
// # What every broker promises
//
// An enqueue that returned nil is never lost. A task is handed out at least
// once, every attempt has a number and one owner, and only the owner of the
// current attempt can settle it: all others get [ErrLeaseLost] and change
// nothing. So each task reaches exactly one final state and has one result.
// Enqueueing an id again while its record lives is harmless.
//
// # Using one
//
// Programs hand a broker to arbiter.New and minion.New and never call it
// themselves. Whoever writes a new broker implements [Broker], runs
// brokertest.Run on it, and is done:
//
//	func TestConformance(t *testing.T) {
//		brokertest.Run(t, func(t *testing.T) brokertest.Harness { … })
//	}
package broker
