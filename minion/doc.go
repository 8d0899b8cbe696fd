// Package minion executes tasks.
//
// # The model
//
// A [Minion] takes tasks from queues of a broker and runs their registered handlers.
// It runs as many handlers at the same time as it has slots; the handler of a heavy task
// takes several of them, see [task.Slots]. While a handler runs, the minion owns its task by a lease. The lease covers the whole minion, and heartbeats
// renew it. When the handler returns, the minion settles the task: the task has
// succeeded, has failed for good, or is retried later. When a minion dies, its lease
// ends, and its tasks start again on other minions, as the next attempt. That does not
// use up a retry.
//
// A program makes a minion, registers its handlers, and runs it:
//
//	m, err := minion.New(b, minion.Queue("default")) // b is a broker: memory.New(), redis.Open(…)
//	err = tasks.RegisterTasks(m)                    // generated; or task.Handle(m, AddTask, add)
//	err = m.Run(ctx, 3)                             // 3 slots; returns when ctx ends and the work is drained
//
// # What a handler's return means
//
//   - nil: the task has succeeded, even if its context ended meanwhile.
//   - an error: the task is retried, after a pause, as often as its policy
//     allows. Then it fails and becomes a dead letter that keeps the error.
//   - [task.NoRetry] of an error: it fails at once.
//   - [task.RetryAfter]: it is retried after the given time.
//   - [task.Snooze]: it runs again after the given time, and no retry is used up.
//   - [task.LimitReached]: the minion closes limits for all tasks that need them, and the
//     task runs again when they are open. No retry is used up.
//   - a panic, or runtime.Goexit: an error that wraps [task.ErrPanic], with its
//     stack. The minion goes on.
//
// The rules of [OnError] and [task.OnError] can give an error one of these marks.
//
// Arguments that don't fit and results that can't be stored fail at once. A retry that
// would come after the task's deadline is not made: the task fails with the error of its
// last attempt. A snooze past the deadline ends at the deadline, and the task is expired.
//
// # The context of a handler
//
// It ends for one of these reasons, which context.Cause returns:
//
//   - [task.ErrCanceled]: the task was killed. If the handler returns an error,
//     the task is canceled.
//   - [task.ErrTimeout]: the timeout of the attempt is over. If the handler returns
//     an error, that is a failure like any other, and its message names the timeout.
//   - [task.ErrExpired]: the task's deadline has passed. If the handler returns
//     an error, the task is expired.
//   - [task.ErrStopping]: the minion stops, and the time to drain is over. If
//     the handler returns an error, the task goes back to its queue.
//   - [task.ErrLeaseLost]: the minion could not renew its lease, and another may
//     run the task soon. The handler's result is dropped.
//
// While a process is suspended, or its machine sleeps, it can't notice that its lease has
// ended. Its handlers go on for a moment when it wakes up. The broker refuses their
// results, but it can't undo their effects on other systems. A handler that must not take
// effect twice can use the number of its attempt as a fencing token: the number increases
// with each start. [task.FromContext] returns it, together with the id, the queue, the
// metadata, and a [task.Submitter] to send tasks with.
//
// # Waiting for tasks within tasks
//
// A handler that waits for another task by the submitter of its context lends its slot
// meanwhile. So tasks that wait for tasks never starve themselves, even in one slot. When
// its wait is over the handler goes on at once. For a while more handlers than slots may
// then run, and no further one starts until there are fewer again. Up to 10,000 handlers
// of a minion can lend their slots at the same time; further ones keep their slots. A
// handler that waits by an arbiter of its own keeps its slot, too. A heavy task lends all
// its slots together.
//
// A call that a handler sends is stored at once. Its id is derived from the handler's
// task, so a repeated attempt that sends the same call sends nothing new. An exception is
// a call that has failed for good: it runs again if the attempt follows a failure. Use
// [task.OnSuccess] for calls that must be sent only if the attempt succeeds, and the
// option [task.Inherit] for calls that must end with the task.
//
// # Groups and pipes
//
// When a minion settles a member of a group or pipe, it starts what follows: the next step,
// the callback or the finalizer, which may be in a queue of other minions. If it dies
// meanwhile, another minion does all of that again; no task runs twice because of it.
//
// # Processes of their own
//
// A handler that may end its process, use too much memory, or ignore its context can be
// [Isolated]. It then runs in a child process of the minion. For that the program calls
// [Child] first in its main function. If the child process ends before the handler returns,
// the attempt has failed, the task is retried, and the minion goes on.
//
// # Squads
//
// A squad is a group whose members start together. An arbiter asks a minion to reserve
// slots for a squad, and the minion does so if enough slots are free. Nothing else runs in
// reserved slots until the members have come and start, or the squad is given up; if its
// arbiter dies, that takes five seconds. A squad that found too few free slots has no
// priority over tasks that wait for slots.
//
// # Stopping
//
// When the context of Run ends, or [Minion.Stop] is called, the minion takes no more tasks
// and lets running handlers finish, for [DrainTimeout]. Then their contexts end with
// ErrStopping. Two seconds later the tasks of handlers that still run are given back to
// their queues, at once and without using up a retry. The later results of such handlers
// have no effect.
package minion
