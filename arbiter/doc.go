// Package arbiter submits tasks, follows them and gets their results.
//
// # The model
//
// An [Arbiter] is one end of a broker; a minion is the other. The arbiter hands
// tasks to the broker, which keeps them whether a minion runs or not, and gets
// their results pushed into an inbox of its own. It keeps no state that
// anything depends on: a task goes on when its arbiter is closed or dies, and
// any other arbiter of the same broker can ask for its state by its id, wait
// for it, or kill it, as long as its result is kept.
//
// A task that was sent is initiated (it waits in the broker), running (a minion
// has it) or done; a task that is done has succeeded, failed, been canceled or
// expired. [Status] tells all of that, in the words of the original Arbiter.
//
// # Using it
//
// Typed handles, of package task, do most of the work; the arbiter is what they
// send with:
//
//	arb, err := arbiter.New(b)                      // b is a broker: memory.New(), redis.Open(…)
//	defer arb.Close()
//	sum, err := AddTask.Call(ctx, arb, 1, 2)        // send, and wait for the result
//
// The same by name, as in the original, and several at once:
//
//	done, err := arb.ApplySync(ctx, "simple_add", arbiter.Args(1, 2)) // the original's sync=True
//	ids, err := arb.Apply(ctx, "simple_add", arbiter.Args(1, 2), arbiter.Count(3))
//	for st, err := range arb.WaitForTasks(ctx, ids...) { // in the order they are done
//		fmt.Println(st.ID, st.Outcome, err)
//	}
//
// # Groups and pipes
//
// Several calls are sent as one: a group in any order, with a callback when all
// are done and a finalizer after all else; a pipe one after the other, each with
// the result of the one before. They live in the broker. The minion that ran a member
// starts what comes next within milliseconds. If it dies in the middle, another
// minion does it. The process that sent the whole need not be there any more.
//
//	g, err := arb.Group(ctx, calls, arbiter.Callback(call), arbiter.Finalizer(call, timeout))
//	for st, err := range g.Wait(ctx) { … }            // each member as it is done
//	g, total, err := arbiter.GroupThen(ctx, arb, calls, TotalTask.Step()) // typed, with the results
//	p, err := arb.Pipe(ctx, steps, arbiter.PersistentArgs(…))             // by name; typed: task.Then
//
// By default all members must succeed: the first that does not ends the group,
// the others are cancelled, and the callback never runs; its reason is in the
// group's [Status]. [Need] and [CollectAll] are the other policies. A group of no calls
// succeeds at once, with the empty list. [Arbiter.Kill] and [Arbiter.KillGroup] end
// tasks, groups and pipes from any process.
//
// # Tasks that belong together
//
// [Arbiter.Group] sends tasks that are done in any order, with a callback and a
// finalizer, [Arbiter.Pipe] tasks that are done one after the other, and
// [Arbiter.Squad] tasks that start together or not at all. [GroupOf], [GroupThen],
// [SquadOf] and [SquadThen] are the same with the types of results and parameters,
// which the compiler checks. Package task has typed groups and pipes that are put
// together first and sent later.
//
// # What can go wrong
//
// A submission that fails returns a [*task.SubmitError] that says which tasks
// are stored and which are not. Where the broker can't be reached, or a reply
// is lost, the arbiter tries again for five seconds, or until the context
// ends; if it is still unknown then whether a task is stored, the error wraps
// [task.ErrIndeterminate], and sending the same Call again is safe. With
// [CheckSchema], a call that no living minion can decode is refused at once.
//
// A wait ends with the task, with its context or with [Arbiter.Close], never
// with a broker that is out of reach for a while: it goes on when the broker is
// back. A push that was lost on the way costs a few seconds. A task that another
// process sent is not pushed here: waiting for it means asking for it every two
// seconds.
package arbiter
