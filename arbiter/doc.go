// Package arbiter submits tasks, follows them and gets their results.
//
// # The model
//
// An [Arbiter] hands tasks to a broker, and minions get them there. The broker keeps the tasks whether a minion runs or
// not, and pushes their results into an inbox that the arbiter has there. No task depends on the arbiter: it goes on
// when its arbiter is closed or dies. Any other arbiter of the same broker can look up its state by its id, wait for
// it, or kill it, as long as its result is kept.
//
// A task that was sent waits in the broker, runs, or is done. One that waits is scheduled, blocked, pending, retrying or
// parked, and one that is done has succeeded, failed, been canceled or expired: that is the State of its [Status]. The
// original Arbiter, which is written in Python, has the words initiated, running and done for this; [Status.Phase] returns
// them, and docs/from-python.md compares the two.
//
// # Using it
//
// The typed handles of package task do most of the work. They send with an arbiter:
//
//	arb, err := arbiter.New(b)                      // b is a broker: memory.New(), redis.Open(…)
//	defer arb.Close()
//	sum, err := AddTask.Call(ctx, arb, 1, 2)        // send, and wait for the result
//
// The same by name, as in the original, and several copies of a task:
//
//	done, err := arb.ApplySync(ctx, "simple_add", arbiter.Args(1, 2)) // the original's sync=True
//	ids, err := arb.Apply(ctx, "simple_add", arbiter.Args(1, 2), arbiter.Count(3))
//	for st, err := range arb.WaitForTasks(ctx, ids...) { // in the order in which they are done
//		fmt.Println(st.ID, st.State, err)
//	}
//
// # Groups and pipes
//
// Several calls can be sent as one. The members of a group run in any order, with a callback when all are done and a
// finalizer after all else. The steps of a pipe run one after the other, each with the result of the step before it.
// Groups and pipes live in the broker. The minion that ran a member starts the next part within milliseconds. If it
// dies meanwhile, another minion does it. The process that sent the group or pipe need not be running any more.
//
//	g, err := arb.Group(ctx, calls, arbiter.Callback(call), arbiter.Finalizer(call, timeout))
//	for st, err := range g.WaitForMembers(ctx) { … }  // each member as it is done
//	g, total, err := arbiter.GroupThen(ctx, arb, calls, TotalTask.Step()) // typed, with the results
//	p, err := arb.Pipe(ctx, steps, arbiter.PersistentArgs(…))             // by name; typed: task.Then
//
// By default all members must succeed. The first member that does not ends the group: the others are cancelled, the
// callback never runs, and the group's [Status] has the reason. [Quorum] and [Collect] are the other policies. A group
// without calls succeeds at once, with an empty list. [Arbiter.Kill] and [Arbiter.KillGroup] end tasks, groups and pipes
// from any process.
//
// [Arbiter.Squad] sends a group whose members start together or not at all. With [GroupOf], [GroupThen], [SquadOf] and
// [SquadThen] the compiler checks the types of results and parameters. Package task has typed groups and pipes that are
// built first and sent later.
//
// # What can go wrong
//
// A submission that fails returns a [*task.SubmitError] that lists the calls which are not stored. If the broker can't be
// reached, or a reply is lost, the arbiter tries again for five seconds, or until the context ends. If it is still
// unknown then whether a call is stored, its error wraps [task.ErrIndeterminate], and sending the same Call again is
// safe. With [CheckSchema], a call that no living minion can decode is refused at once.
//
// A wait ends with the task, with its context or with [Arbiter.Close]. A broker that can't be reached for a while does
// not end it: the wait goes on when the broker is back. A push that was lost delays a result by a few seconds. The result
// of a task that another process sent is not pushed to this arbiter: it looks the task up every two seconds, and at first
// more often.
package arbiter
