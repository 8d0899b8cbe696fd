// Package childtask runs attempts at tasks in child processes. It has both sides: the minion sends
// a [Job] to a child with [Run], and the child serves jobs with a [Server]. The handler in the
// child may send tasks, await them and publish events. It has no connection to the broker, so its
// requests go to the minion, whose attempt answers them as a [Parent].
//
// The package encodes the messages between the two sides. Package isolate starts the processes and
// passes the encoded messages on.
package childtask
