// Package client sends tasks to a broker and waits for their outcomes. Arbiters and minions
// share it: [Client] is the [task.Submitter] behind arbiter.Arbiter, and [Child] is the one
// that a running task finds in its context.
//
// # Sending
//
// One submission becomes one [broker.Broker.Enqueue]. While a request is under way, small
// submissions of other goroutines are collected, and the next request takes all of them. So a
// single caller never waits for company, and many callers share round trips. A task gets its
// id, and its entry in the table, just before the request that holds it. See sender.go and
// book.go.
//
// # Waiting
//
// The broker pushes outcomes to the client's inbox, and one goroutine hands them to the waiting
// goroutines. The table holds the tasks that the client sent, the outcomes that nobody has
// asked for yet, the waits for each task, and the time at which a task is looked up because its
// push may have been lost. See table.go and lookup.go. A broker that loses no push implements
// [broker.Follower], and its tasks are not looked up again.
//
// A wait that takes long is checked from time to time to find out why its task is not done. The
// reason is part of the error of the wait. It is also logged if no minion can run the task. See
// check.go, check_schedule.go and reason.go.
package client
