// Package broker is the contract between arbiters, which submit tasks, minions,
// which execute them, and the store that keeps the tasks in between. It defines
// the types and the interface [Broker]. The implementations are in broker/memory
// and broker/redis.
//
// Programs do not call a broker themselves. They open one and hand it to
// arbiter.New and minion.New. This package is for the authors of a broker and for
// readers of the code; a new broker begins with docs/writing-a-broker.md.
//
// # The model
//
// A [Task] has a name, a payload and the name of a queue. The broker stores it and
// hands it out. It moves bytes: it never looks into a payload, does not know the
// retry policy, and runs no handler.
//
// A minion registers with [Broker.Consume] and gets a [Consumer]. [Consumer.Dequeue]
// hands it tasks, each as a [Delivery]: one attempt at the task, with a number. The
// consumer owns that attempt until it reports with [Consumer.Settle] how it ended. A
// [Settlement] says one of five things, its [Verb]: the task is finished, is to be
// retried, is snoozed, is given back, or is parked because this minion can't run it.
//
// A consumer has a lease, which [Consumer.Heartbeat] extends. When the lease ends, its
// minion counts as dead: the tasks that it owned go back to their queues, and another
// consumer gets them as their next attempts.
//
//	Enqueue ─┬─▶ scheduled ──due──────┐
//	         ├─▶ blocked ───Release───┤
//	         └────────────────────────┴─▶ pending ──Dequeue──▶ running ──VerbFinish──▶ succeeded, failed,
//	                                         ▲                    │                    canceled or expired
//	                                         ├──due── retrying ◀──┤ VerbRetry, VerbSnooze
//	                                         ├──due── parked ◀────┤ VerbPark
//	                                         └────────────────────┘ VerbGiveBack, Close, or the lease has ended
//
// [Transitions] is the full table. A task that waits may also be cancelled or expire, and
// an operator may requeue a failed one. A parked task goes straight to running when a
// minion that can run it dequeues, and a blocked member of a squad when it is assigned. A
// blocked task with a Delay becomes pending when the delay is over, even if nothing has
// released it.
//
// An arbiter calls [Broker.Enqueue], [Broker.Lookup] and [Broker.Cancel]. It does not
// poll for results: the broker pushes the [Outcome] of each task to the [Inbox] that
// the task names.
//
// A group or a pipe is a [Flow]: a record that counts how many of its members have
// ended. When a member becomes final, the broker stores an [Arrival] in the same step.
// A driver reports the arrivals to the flow and decides what follows. Each minion and each
// arbiter has one. The broker only stores and counts.
//
// # Promises
//
// A task is not lost once Enqueue has returned nil for it. It is handed out at least
// once. Each attempt has a number and one owner. Only the owner of the current attempt
// can settle it; everybody else gets [ErrLeaseLost] and changes nothing. So each task
// reaches exactly one final state and has one result, unless an operator requeues it.
// Enqueueing an id again while its record lives changes nothing; [Broker].Enqueue says how
// long that is.
//
// # Deadlines
//
// A task expires soon after its [Task.Deadline] if it waits then, whatever it waits for: its
// time, a minion, other tasks or its next attempt. Expiry ends a task like a cancel:
// the task never starts, its inbox is notified, its unique key becomes free, and its
// [Arrival] is stored. The outcome has neither a Minion nor a Started time. The broker
// may leave out its name, and may keep it for [DefaultRetention]. A task that runs at
// its deadline is left to its owner, and expires if it waits again after that.
//
// Three clients of the store look for an expired task: the Broker that stored it, each
// Broker that has looked it up, and each consumer of its queue, from its next heartbeat
// on. While one of these Brokers is open, the task ends within a second after its deadline.
// If only a consumer is left, it takes up to one interval of heartbeats longer. A broker
// may let its other clients look too, less often.
//
// An expired member of a flow leaves an arrival. The Broker that ended it calls OnArrivals
// of those of its own consumers that serve the queue. If it has none, the next Receive of
// each of its open inboxes returns a [Mail] with Flows.Arrivals set.
//
// # Order
//
// A queue hands out its tasks in the order in which they became pending. The tasks of
// one Enqueue keep their order, and so do the tasks of one [Flows] Release. A task goes
// behind all pending tasks when it is enqueued, when it is released from being blocked,
// when its delay, retry or snooze is over, and when an operator requeues it.
//
// A task goes in front of all pending tasks when its owner gives it back
// ([VerbGiveBack]), closes or dies. Tasks that are given back in one Settle keep their
// order: the first of the batch is handed out first. A later Settle puts its tasks in front
// of those. The order among the tasks of a consumer that closed or died is not defined.
//
// A broker may split a queue into partitions ([ID.Partition]); then these rules hold
// within each partition. The events of a topic keep their order. The order of
// notices, arrivals, dead letters and minions is not defined.
//
// # Calls
//
// A batch may have any size, also zero, unless the method names a limit. A result has
// one entry for each item of the batch, in its order. An id that is in a batch twice
// is handled like two calls. A call whose context has ended before it begins either fails
// or takes effect in full. If the context ends later, the request may still be carried out.
// The call may be repeated in each case. Only a repeated Publish or Post takes effect
// twice: its events or its post may be received again. The context of Consume, Inbox and
// Subscribe is for opening only. The consumer, inbox or subscription does not end with it.
//
// Nothing has to poll. A task that becomes pending wakes a waiting Dequeue. Notices,
// events, cancels, assignments and posts are pushed. Each push arrives within a second
// on a machine that is not overloaded.
//
// # Callbacks
//
// The functions in [ConsumerConfig] may call methods of the broker and of their
// consumer, so a broker must hold no lock while one runs. A broker may call them from
// any goroutine, before Consume has returned, concurrently with each other, and from
// within a method that the callback itself has called: a Heartbeat in OnCancel may call
// OnCancel. A callback must return soon, since a broker may hold back everything else
// until then. So it must not call a method that opens, closes or waits: Consume,
// Inbox, Subscribe, Receive, Dequeue or Close.
//
// # Optional capabilities
//
// A broker has a capability if it implements the interface:
//
//   - [Flows] keeps groups and pipes.
//   - [Squads] lets tasks start together. A broker with Squads also has Flows.
//   - [Parker] keeps a task that its minion can't run for a minion that can.
//   - [Uniques] holds a unique key for a time or until the start, replaces its holder, and
//     lets operators free it.
//   - [Lanes] gives tasks priorities, limits, turns of keys, and sequences.
//   - [Pauser] stops the hand-out of a queue, or of some of its tasks, for a while.
//   - [Bounder] refuses new tasks while too many wait.
//   - [Documents] keeps small records that processes change together.
//   - [Inspector] answers the questions of operators.
//   - [Starter] tells which tasks may have killed a minion.
//   - [Halter] keeps the members of a large flow from starting while the flow is killed.
//   - [Follower] saves look-ups, where pushes can't be lost.
//
// [FlowsOf], [SquadsOf], [ParkerOf], [UniquesOf], [LanesOf], [PauserOf], [BounderOf], [DocumentsOf] and [InspectorOf] return the
// capability of a broker, or an [*UnsupportedError], which wraps [ErrUnsupported]. It is the only error
// about a missing capability. Starter, Halter and Follower are improvements: Arbiter works without
// them.
//
// The fields that only Flows and Squads need are grouped: [TaskFlow] in a Task,
// [FlowsConfig] and [SquadsConfig] in a ConsumerConfig, [FlowsMail] and [SquadsMail] in a
// Mail.
//
// A broker without Flows refuses a task with Flow.Blocked set, and a settlement with Submit
// set. A broker without Squads refuses a task with Flow.Squad set. A broker without Parker
// refuses VerbPark. A broker without Lanes refuses a task with a Lane. A broker without Uniques refuses a task with any field of [Unique] set
// but Key. [CheckTask] and [CheckSettlement] return these errors, beside those for
// invalid values. The rest of the batch is carried out. A broker must not ignore such a
// field: the task would run too early or twice, or the tasks that it submits would be lost.
// Every broker stores the other fields of TaskFlow, with or without Flows.
//
// # Implementing a broker
//
// The package broker/brokertest is the suite of tests that a broker has to pass:
//
//	func TestConformance(t *testing.T) {
//		brokertest.Run(t, brokertest.Config{
//			Open: func(testing.TB) brokertest.Harness {
//				const lease = time.Second
//				return brokertest.Harness{Broker: mybroker.New(lease), Lease: lease}
//			},
//		})
//	}
package broker
