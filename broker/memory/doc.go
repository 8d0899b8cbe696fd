// Package memory is a broker that keeps tasks in the memory of one process. It is for
// tests, for a first try, and for programs that need no other process. It keeps every
// promise of package broker except one: all tasks are lost when the process ends.
//
//	b := memory.New()
//	m, err := minion.New(b, minion.Queue("default"))
//	arb, err := arbiter.New(b)
//
// # Tests in fake time
//
// The broker starts no goroutine, waits on channels only, and takes the time from package
// time only. So it runs in a bubble of testing/synctest, together with the arbiters, the
// minions and the tasks of the program under test. An hour of delays and retries passes
// there in a few milliseconds.
//
//	synctest.Test(t, func(t *testing.T) {
//		b := memory.New()
//		m, err := minion.New(b)
//		// register tasks, and go m.Run(ctx, 1)
//		defer m.Close() // all goroutines must have ended when the bubble ends
//		…
//	})
//
// TestBubble in bubble_test.go is a complete example.
//
// A wait that can't end, for example because no minion runs, does not hang in a bubble. The
// log says that no living minion serves the queue, ten times at most. Then nothing in the
// bubble can go on, and testing/synctest ends the test with "deadlock". With a deadline the
// wait ends with a task.WaitError that says the same. While a minion runs, its heartbeats
// let the time of the bubble pass for ever, so give waits a deadline in that case.
package memory

// The following comment helps to read the code of the package. It lists the files in the order
// of reading. Each file has one subject.
//
// The life of a task, from Enqueue to Settle:
//
//	enqueue.go       a task is checked, copied, and stored as a record
//	dequeue.go       a consumer waits for tasks, and becomes their owner
//	settle.go        the consumer says how the attempt ended; finish.go ends the task
//
// The data behind it:
//
//	broker.go        the parts of a broker
//	record.go        one task
//	queue.go         the tasks of one queue, and its lock
//	place.go         where in the queue a task is, by its state
//	timeline.go      records in the order of a time
//	index.go         records and tombstones by id
//	clone.go         copies of tasks, so that the broker and its callers share no memory
//	slabs.go         allocates the memory of a batch together
//
// Other ways in which a task goes on or ends:
//
//	cancel.go        a caller ends it
//	deadlines.go     its deadline passes
//	consumer.go      consumers, their heartbeats and their tasks
//	lease.go         a consumer dies, and its tasks go back
//	start.go         the starts of tasks are recorded, and the deaths of consumers counted
//	park.go          the consumer can't run it, and another one may
//	abandon.go       nobody could run a parked task in time
//
// Priorities, limits, fairness and sequences:
//
//	lanes.go         tasks with lanes, and the order of the hand-out
//	lane_class.go    tasks that need the same, and the turns of keys
//	lane_pool.go     whose turn it is
//	lane_limit.go    definitions, what is in use, and what waits for it
//	lane_sequence.go one task after the other
//	lane_methods.go  the methods for it
//	ranked.go        a heap
//
// Results, and the state of the broker for callers:
//
//	lookup.go        the status of a task
//	notices.go       outcomes on their way to the inboxes
//	inbox.go         inboxes
//	follow.go        further inboxes for one outcome
//	inspect.go       queues, minions and dead letters, and how an operator requeues them
//	topic.go         events
//	document.go      documents with versions
//
// Groups, pipes and squads:
//
//	flow.go          the record of a group or pipe
//	flows.go         the methods for it
//	blocked.go       members that wait for their release
//	arrival.go       members that have ended, until their flow has counted them
//	halt.go          a large group is being killed
//	squad.go         members that start together
//
// Time, and how memory is freed:
//
//	clock.go         times
//	alarm.go         a timer
//	expiry_queue.go  ids, by the time at which their data are deleted
//	sweep.go         forgets it
//	unused.go        forgets queues
//
// Locks are taken in this order, each at most once, and never held during a wait or a
// callback: sweeper.mu, naming, queue.mu (of one queue at a time), then one of shard.mu,
// topics.mu, documents.mu, members.mu, inboxes.mu, inbox.mu, followers.mu, unused.mu and charges.mu, and
// last alarm.mu.
//
// A task that becomes due is moved by the next call that locks its queue, so every
// caller sees the current state of the queue. For a queue without calls an alarm moves the tasks.
