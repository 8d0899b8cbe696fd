// Package client is what arbiters and minions have in common: it sends tasks to
// a broker and waits for their outcomes. [Client] is the [task.Submitter]
// behind arbiter.Arbiter and behind what a running task finds in its context.
//
// # Sending
//
// A submission is one [broker.Broker.Enqueue]. While one is under way, small
// submissions of others gather, and the next one takes them all: a lone caller
// waits for nobody, and many share their round trips. What is in a request gets its
// ids, and is entered in the table, just before. See sender and begin.
//
// # Waiting
//
// Outcomes are pushed to the client's inbox, and one goroutine hands them to
// who waits. The table keeps what a client knows: the tasks that it sent, the
// outcomes that nobody has asked for yet, who waits for what, and when to look
// a task up because a push may have been lost. See table and sweep. A broker that loses
// no push is not asked again ([broker.Follower]).
//
// A wait that lasts is checked now and then: why is its task not done? The error of the
// wait says it, and the log does where no minion can run the task. See check, vigil and
// reason.
package client
