// Package minion executes tasks.
//
// # The model
//
// A [Minion] takes tasks from queues of a broker and runs the handlers that are
// registered for them, each in one of its slots. While a handler runs, the
// minion owns its task, by a lease on the whole minion that heartbeats renew.
// When the handler returns, the minion settles the task: it has succeeded, or
// failed for good, or is retried later. A minion that dies owns nothing any
// more once its lease has ended; its tasks start again elsewhere, as the next
// attempt, and no retry is used up by that.
//
// A program makes a minion, registers its handlers, and runs it:
//
//	m := minion.New(b, minion.Queue("default"))     // b is a broker: memory.New(), redis.Open(…)
//	err := tasks.RegisterTasks(m)                   // generated; or task.Handle(m, AddTask, add)
//	err = m.Run(ctx, 3)                             // 3 slots; returns when ctx ends and the work is drained
//
// # What a handler's return means
//
//   - nil: the task has succeeded, even if its context ended meanwhile.
//   - an error: the task is retried, after a pause, as often as its policy
//     allows, and then fails: it becomes a dead letter that keeps the error.
//   - [task.NoRetry] of an error: it fails at once.
//   - [task.RetryAfter]: it is retried after the time that was given.
//   - [task.Snooze]: it runs again after that time, and no retry is used up.
//   - a panic, or runtime.Goexit: an error that wraps [task.ErrPanic], with its
//     stack. The minion goes on.
//
// Arguments that don't fit and results that can't be stored fail at once. A
// retry that would come after the task's deadline is not made: the task fails
// with the error that it has. A snooze past the deadline ends there, as expired.
//
// # The context of a handler
//
// It ends for one of these reasons, which context.Cause returns:
//
//   - [task.ErrCanceled]: somebody killed the task. If the handler returns an
//     error, the task is canceled.
//   - [task.ErrTimeout]: the timeout of the attempt is over. If the
//     handler returns an error, that counts as a failure like any other, and its
//     message says that the time was over.
//   - [task.ErrExpired]: the task's deadline has passed. If the handler returns
//     an error, the task is expired.
//   - [task.ErrStopping]: the minion stops, and the time to drain is over. If
//     the handler returns an error, the task goes back to its queue.
//   - [task.ErrLeaseLost]: the minion could not renew its lease, and another may
//     run the task soon. The handler's result is dropped.
//
// A process that was stopped as a whole, or a machine that slept, can't notice
// that its lease has ended: its handlers go on for a moment when it wakes up.
// Their results are refused by the broker, but what they do elsewhere is done.
// A handler that must not do things twice uses the attempt's number, which is larger
// with each start, as a fencing token: [task.FromContext] gives it, together with
// the id, the queue, the metadata, and a [task.Submitter] to send tasks with.
//
// # Waiting for tasks within tasks
//
// A handler that waits for another task by the submitter of its context lends
// its slot meanwhile, so tasks of tasks never starve themselves, even in one
// slot. When its wait is over the handler goes on at once: for a while more may
// run than there are slots, and none begins until there are fewer again. Up to
// 10,000 handlers of a minion can wait so at a time; one beyond that keeps its
// slot. A handler that waits by an arbiter of its own keeps its slot, too.
//
// A call that a handler sends is stored at once, and its id is derived from the
// handler's task: a repeated attempt that sends the same call sends nothing new, but a
// call that has failed for good runs again if the attempt follows a failure.
// Use [task.OnSuccess] for calls that must be sent only if the attempt succeeds, and
// the option [task.Inherit] for calls that must end with the task.
//
// # Groups and pipes
//
// A minion moves on the groups and pipes whose members it settles: it starts
// their next steps, callbacks and finalizers, in queues that may be those of
// other minions. If it dies in the middle, another one does it again from the
// start; no task runs twice because of that.
//
// # Processes of their own
//
// A handler that may end its process, takes memory without a bound, or ignores
// its context can be [Isolated]: it runs in a child of the minion's, which calls
// [Child] first in its main function. The end of the child is a failure of the
// task, and the minion goes on.
//
// # Squads
//
// A squad is a group whose members start together. A minion that is asked holds
// slots for it, if as many are free, and nothing else runs in these until the
// members have come and start, or the squad is given up, which takes five seconds
// if its arbiter dies. Tasks that wait for slots are served as before: a minion
// keeps none back for squads that found too few.
//
// # Stopping
//
// When the context of Run ends, or [Minion.Stop] is called, the minion takes no
// more tasks and lets those that run finish, for [DrainTimeout]. Then their
// contexts end with ErrStopping, and two seconds later whatever still runs is
// given back to its queue, at once and with no retry used up. Nothing that such
// a handler returns later has any effect.
package minion
