// Package task has the typed handle of a kind of task, and everything that
// generated code and handlers need. It is the only package of Arbiter that
// generated code imports.
//
// # The model
//
// A [Task] is a kind of task: a name, the types of its arguments and its
// result, and default options. Usually arbitergen makes it of an annotated
// function; by hand it is [Define]:
//
//	type AddArgs struct {
//		X int `arbiter:"x"`
//		Y int `arbiter:"y"`
//	}
//
//	var AddTask = task.Define[AddArgs, int]("simple_add")
//
// A [Call] is one invocation, bound to its arguments but not sent yet. A
// [Future] is one that was sent: it has an id and, once it is done, a result.
//
//	call := AddTask.Bind(AddArgs{1, 2})
//	fut, err := call.Send(ctx, arb)  // or AddTask.Apply(ctx, arb, AddArgs{1, 2})
//	sum, err := fut.Result(ctx)      // or AddTask.Call(ctx, arb, AddArgs{1, 2})
//
// A [Submitter] sends calls: an arbiter is one, and so is the [Info] that a running
// task finds in its context. A [Registrar] runs tasks: a minion is one. [Handle]
// tells it which function stands behind a handle:
//
//	err := task.Handle(m, AddTask, func(ctx context.Context, a AddArgs) (int, error) {
//		return a.X + a.Y, nil
//	})
//
// # Calls of several tasks
//
// A call can be of several tasks, kept and moved on by the broker as one:
//
//	call := task.Then(FetchTask.Bind(url), ParseTask.Step())           // a pipe
//	call := task.Then(task.All(calls...), TotalTask.Step())            // a group and its callback
//
// A [Step] is a call that lacks the result of the one before it. [Then], [All],
// [Collect], [Quorum], [Fork] and [Chain] compile only where result and parameter
// fit, and nest to any depth. If a member fails that had to succeed, the error
// wraps [ErrFlowFailed] and names it. Package arbiter has handles of groups and
// pipes that show each member.
//
// # Life cycle and errors
//
// A handler that returns an error is run again, by the task's retry policy,
// unless the error says otherwise: see [NoRetry], [Snooze] and [RetryAfter].
// The error that had the last word reaches the caller as a [*RemoteError].
//
// A Call keeps its id from the first time it is sent. Where the outcome of a
// send is unknown, as after a lost connection, the error is a [*SubmitError],
// and sending the same Call again is safe: there never is a second task.
package task
