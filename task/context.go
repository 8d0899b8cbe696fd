package task

import (
	"context"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/internal/base/infokey"
	"github.com/go-arbiter/arbiter/internal/engine/title"
)

// Info describes the attempt that a handler runs. It is also a [Submitter] and an [Emitter]:
// a handler sends tasks with it, by handle or by name (see [Named]), waits for their results,
// and emits events:
//
//	info, _ := task.FromContext(ctx)
//	sum, err := task.Named("simple_add", task.Args(1, 2)).Call(ctx, info)
//	err = info.Emit(ctx, "sums", sum)
type Info struct {
	ID    ID
	Name  string
	Queue string

	// Attempt is the number of this start of the task, beginning with 1. A start counts
	// even if the minion died before the handler began. A task that was given back before
	// its start does not count. Later starts have larger numbers, so Attempt can serve as a
	// fencing token: a system that refuses numbers older than the last it has seen is safe
	// from a process that was suspended and woke up after its lease had ended.
	Attempt    uint32
	Retried    int // how many attempts have failed before this one
	MaxRetries int // how often the task is retried before it becomes a dead letter
	Recoveries int // how many minions died while they held the task, started or not

	Meta     map[string]string // shared by all copies of the Info: do not change it
	Enqueued time.Time         // when the task was submitted, by the submitter's clock

	// Submitter sends tasks from within this one, at once.
	//
	// A repeated attempt does not send them twice: a task with the same name, queue and
	// arguments as one that an earlier attempt sent is the same task. Its id is derived from
	// the parent's id, from these three, and from how many equal tasks this attempt has sent
	// before. The order of different tasks does not matter. Arguments that change from
	// attempt to attempt, such as the current time, make other tasks. The protection lasts
	// as long as the broker keeps the record of the earlier task. An attempt after a
	// [Snooze] is a repeated attempt, too: if each is to send a new task, put a number
	// among the arguments.
	//
	// If such a task has failed for good, it is a dead letter. When an attempt that follows
	// a failure (a retry or a requeue) sends it again, it runs again, under its id and with
	// all its retries. A task that has succeeded, expired or was killed stays as it is. So do
	// pipes, groups, and tasks that keep no dead letter. To fail together with such a task,
	// return [NoRetry] of its error.
	//
	// While a handler waits for a result with this submitter, its minion uses the slot for
	// another task.
	Submitter Submitter

	// OnSuccess sends tasks only if the attempt succeeds; see the function [OnSuccess].
	OnSuccess Submitter
}

// NewContext returns a context in which [FromContext] finds info. Minions call it, and so
// can tests of handlers.
func NewContext(ctx context.Context, info *Info) context.Context {
	return context.WithValue(ctx, infokey.Key{}, info)
}

// FromContext returns the Info of the attempt that ctx belongs to. Outside of an attempt it
// returns an empty Info and false. The submitters in the Info are never nil: if there is no
// attempt, or an Info made by hand lacks them, they refuse all calls with an error that wraps
// [ErrInvalid].
func FromContext(ctx context.Context) (Info, bool) {
	found, ok := ctx.Value(infokey.Key{}).(*Info)
	var info Info
	if ok = ok && found != nil; ok {
		info = *found
	}
	if info.Submitter == nil {
		info.Submitter = noSubmitter
	}
	if info.OnSuccess == nil {
		info.OnSuccess = noOnSuccess
	}
	return info, ok
}

// OnSuccess returns a submitter whose calls are sent only if the attempt that ctx belongs to
// succeeds. Until then the minion keeps them in memory. The broker stores all of them in one step
// with the success, and right after it they are put into their queues. Their futures have ids;
// waiting for them within the attempt fails with [ErrNotSubmitted].
//
// An attempt can send at most 1,000 single tasks with 4 MiB of arguments in this way. Pipes
// and groups are refused: send a task that sends them. If the broker refuses a call after
// the success, for instance because its unique key is taken, the minion logs the error and
// drops the call. Outside of an attempt all calls are refused with [ErrInvalid], and on a
// broker without broker.Flows with [ErrUnsupported]. Calls over the limits are refused with
// [ErrTooLarge].
func OnSuccess(ctx context.Context) Submitter {
	info, _ := FromContext(ctx)
	return info.OnSuccess
}

// The submitters outside of an attempt: they refuse all calls, and say why.
var (
	noSubmitter = nowhere{ErrInvalid, "there is no submitter: an Info has one only in the context of a running task; elsewhere use an arbiter"}
	noOnSuccess = nowhere{ErrNotSubmitted, "OnSuccess works only in the context of a running task"}
)

// orNowhere returns s, or a submitter that refuses all calls if s is nil.
func orNowhere(s Submitter) Submitter {
	if s == nil {
		return noSubmitter
	}
	return s
}

// nowhere is a [Submitter] that refuses all calls and waits.
type nowhere struct {
	await error  // wrapped by the errors of Await
	why   string // the reason, for the error message
}

func (n nowhere) Submit(_ context.Context, calls ...Bound) error {
	e := &SubmitError{Total: len(calls)}
	for i, call := range calls {
		f := FailedCall{Index: i, Name: "call", Err: fmt.Errorf("%w: %s", ErrInvalid, n.why)}
		if call != nil && call.Request() != nil {
			f.Name = call.Request().Name()
		}
		e.Failed = append(e.Failed, f)
	}
	if e.Failed == nil {
		return nil
	}
	return e
}

func (n nowhere) Await(_ context.Context, id ID, _ any) error {
	return fmt.Errorf("%s: %w: %s", title.Of(id, ""), n.await, n.why)
}
