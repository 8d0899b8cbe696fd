// Package task has the typed handles of tasks, and everything that generated code and
// handlers need. Generated code imports no other package of Arbiter.
//
// # The model
//
// A [Task] is the handle of a kind of task: its name, the types of its arguments and its
// result, and default options. arbitergen generates it from an annotated function. Without
// the generator, use [Define]:
//
//	type AddArgs struct {
//		X int `arbiter:"x"`
//		Y int `arbiter:"y"`
//	}
//
//	var AddTask = task.Define[AddArgs, int]("simple_add")
//
// A [Call] is one invocation, bound to its arguments and not sent yet. A [Future] is an
// invocation that was sent: it has an id and, once the task is done, a result.
//
//	call := AddTask.Bind(AddArgs{1, 2})
//	fut, err := call.Send(ctx, arb)  // or AddTask.Apply(ctx, arb, AddArgs{1, 2})
//	sum, err := fut.Result(ctx)      // or AddTask.Call(ctx, arb, AddArgs{1, 2})
//
// A [Submitter] sends calls. An arbiter is a Submitter, and so is the [Info] that a running
// task finds in its context. A [Registrar] runs tasks: a minion is one. [Handle] registers
// the function that implements a handle:
//
//	err := task.Handle(m, AddTask, func(ctx context.Context, a AddArgs) (int, error) {
//		return a.X + a.Y, nil
//	})
//
// # Calls of several tasks
//
// A call can stand for several tasks. The broker keeps them as one, and runs each part when
// its turn comes:
//
//	call := task.Then(FetchTask.Bind(url), ParseTask.Step())           // a pipe
//	call := task.Then(task.All(calls...), TotalTask.Step())            // a group and its callback
//
// A [Step] is a call that lacks the result of the call before it. [Then], [All], [Collect],
// [Quorum], [Fork] and [Chain] compile only if results and parameters fit together. They
// nest to any depth. If a member that had to succeed fails, the error wraps [ErrFlowFailed]
// and names the member. Package arbiter has handles of groups and pipes that show each
// member.
//
// # Life cycle and errors
//
// If a handler returns an error, the minion retries the task by its retry policy, unless the
// error says otherwise: see [NoRetry], [Snooze] and [RetryAfter]. The error of the last
// attempt reaches the caller as a [*RemoteError].
//
// A Call keeps its id from the first time it is sent. If the outcome of a send is unknown,
// as after a lost connection, the error is a [*SubmitError] that wraps [ErrIndeterminate].
// Sending the same Call again is safe: it never makes a second task.
package task
