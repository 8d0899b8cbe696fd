// Package broker is the contract between the halves of Arbiter: what an
// arbiter asks of the place that keeps tasks, and what a minion asks of it.
// It holds no implementation; broker/memory and broker/redis do, and
// broker/brokertest is the suite that proves one. Programs hand a broker to
// arbiter.New and minion.New and never call it themselves. The author of a new
// broker begins with docs/writing-a-broker.md.
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
// # Deadlines
//
// A task that waits when its [Task.Deadline] passes becomes expired soon after,
// whatever it waits for: its time, a minion, other tasks, or its next attempt. That is
// an end as by a cancel: the task never starts, its inbox is told, its unique key is
// free, and its [Arrival] is stored. The outcome has neither a Minion nor a Started
// time, and may lack the name and be kept for [DefaultRetention]. The process that has
// stored the task sees to it as long as its Broker is open; so does each Broker that has
// looked the task up, and each consumer of the queue from its next heartbeat on. So it
// takes a second where one of the first two lives, and a heartbeat more where only the
// last one does. A broker may let others of its clients see to it later. A task that runs is left to its owner, and expires if it is given back.
// Arrivals that this leaves are told to the consumers of the Broker that serve the
// queue (OnArrivals), or, if there are none, to the inboxes that are open ([Mail]).
//
// # Order
//
// A queue hands its tasks out in the order in which they became pending. The
// tasks of one Enqueue keep their order. So do those of one Release. A task
// goes behind all that are pending when it is enqueued or released, when its
// delay, retry or snooze is over, and when it is requeued.
//
// A task goes in front of all that are pending when its owner gives it back
// ([VerbRelease]), closes or dies. Releases in one Settle keep their order: the
// first of the batch is handed out first. What is released by a later Settle
// stands in front of what an earlier one released. The order among the tasks of
// one consumer that closed or died is not promised.
//
// A broker may split a queue into partitions ([ID.Partition]). Then all this
// holds within each partition. The order of letters, arrivals, dead letters and
// minions is not promised. The events of a topic keep theirs.
//
// # Calls
//
// A batch may have any size, also none, unless the method names a limit. A
// result has an entry for each part of the batch, in its order. An id may be
// in a batch twice, which is like two calls. A call whose context has ended
// fails, or takes effect in full, and may be repeated in both cases. The
// context of Consume, Inbox and Subscribe is for opening alone: what was opened
// lives on when it ends.
//
// Nobody polls. A task that becomes pending wakes a waiting Dequeue, and
// letters, events, cancels, assignments and posts are pushed. Each arrives
// within a second on a machine that is not overloaded.
//
// # Callbacks
//
// The functions in [ConsumerConfig] may call the methods of the broker and of
// their consumer, so a broker holds no lock while one runs. A callback can be
// called from any goroutine, before Consume has returned, at the same time as
// others, and from within a method that it calls itself: a Heartbeat in
// OnCancel may call OnCancel. It must return soon: a broker may deliver
// everything else after it. So it must not call what opens, closes or waits:
// Consume, Inbox, Subscribe, Receive, Dequeue and Close.
//
// # Optional capabilities
//
// [Flows] keeps groups and pipes, [Squads] lets tasks start together, a [Parker]
// keeps what a minion can't run for one that can, an [Inspector] answers operators,
// a [Starter] tells which tasks may have killed a minion, a [Halter] keeps all members
// of a large group that is killed from starting at once, and a [Follower] saves
// look-ups. A broker has one if it implements the interface.
// One that has Squads has Flows. [FlowsOf], [SquadsOf], [ParkerOf] and [InspectorOf]
// return the capability, or an [*UnsupportedError] that
// wraps [ErrUnsupported]: the one error about a missing capability. Nothing needs a
// Follower, a Halter or a Starter.
//
// A broker without Flows refuses a task with Blocked set and a settlement with
// Submit set; one without Squads refuses a task with Squad set; one without Parker
// refuses VerbPark. [CheckTask] and [CheckSettlement] return that error, and what else is wrong. The rest of the
// batch is carried out. It must not drop such a field: the task would run too
// early, or what it submits would be lost. It carries Group, Step and Upstream
// along as they are.
package broker
