// Package request has the requests behind calls: the part of package task that only arbiters, minions and
// the functions of package task itself need.
//
// A [Request] is a call without its result type. It holds the name of a task, the arguments and the
// [Settings] that its options result in; or the members of a pipe or group. A submitter turns it into a
// record of the broker with [Request.Draft], [Request.Identify] and [Request.Seal], or with
// [Request.Prepare], which does all three. A request keeps its id and its encoded arguments from the first
// time on, so that sending it again makes no second task.
//
// Options are functions of package task. [NewOption] makes them, and [Resolve] applies them.
package request
