// Package request has the requests behind the calls of package task. Programs that submit and run tasks
// do not need it. It is for authors of
//
//   - a task.Submitter, such as a test double that records calls, or a submitter that counts calls and
//     hands them on,
//   - a task.Registrar, which reads the [Settings] of a task.Registration,
//   - tools that look at calls before they are sent.
//
// A [Request] is a call without its result type. It holds the name of a task, the arguments and the
// [Settings] from its options. A request of a pipe or group has a [Flow] with the members. The
// method Request of task.Bound returns it:
//
//	func (r *Recorder) Submit(ctx context.Context, calls ...task.Bound) error {
//		for _, call := range calls {
//			req := call.Request() // nil for the zero Call
//			…
//		}
//		…
//	}
//
// A submitter that stores tasks turns a request into a record of the broker with [Request.Prepare]; one
// that brings memory and ids of its own uses [Request.Draft], [Request.Identify] and [Request.Seal],
// which Prepare does in one step. A request keeps its id and its encoded arguments from the first time
// on, so that sending it again makes no second task.
//
// Package task makes handles and calls with [New], [Bind], [Step], [Pipe], [Group] and [Then]. Other
// packages rarely need these functions.
package request
