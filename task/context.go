package task

import (
	"context"
	"fmt"
	"time"

	"github.com/go-arbiter/arbiter/internal/infokey"
)

// Info is what a handler can know about the attempt it runs. It is a [Submitter] and an
// [Emitter] as well, so that a handler sends with it, by handles or by name (see [Named]),
// waits, and emits events:
//
//	info, _ := task.FromContext(ctx)
//	sum, err := task.Named("simple_add", task.Args(1, 2)).Call(ctx, info)
//	err = info.Emit(ctx, "sums", sum)
type Info struct {
	ID    ID
	Name  string
	Queue string

	// Attempt counts the starts of the task: it is 1 for the first one. A start that
	// the death of a minion may have prevented counts as well; what was given back
	// before it started does not. No two starts have the same number and a later one
	// has a larger one, so it can serve as a fencing token towards systems that refuse
	// an older one, for a process that was stopped and woke up after its lease had
	// ended.
	Attempt    uint32
	Retried    int // how often it failed before
	MaxRetries int // how often it may fail before it is given up
	Recoveries int // how many minions died that held the task, whether or not it had started there

	Meta     map[string]string // shared by all who ask: do not change it
	Enqueued time.Time         // by the submitter's clock

	// Submitter sends tasks from within this one, at once. A repeated attempt
	// that sends a task of the same name, queue and arguments as an earlier one did
	// makes no second: the ids are derived from the parent, that, and how many such
	// ones the attempt has sent before. The order does not matter; arguments that
	// change from attempt to attempt, such as the time, make other tasks. It holds
	// as long as the record of the earlier one does. An attempt after a [Snooze] is
	// a repeated one, too: what each shall send needs a number among its arguments.
	//
	// A task that was sent so and has failed for good is a dead letter. When an attempt
	// that follows a failure (a retry or a requeue) sends it again, it runs again, under
	// its id and with all its retries. A task that has succeeded, has expired or was killed
	// stays as it is. So do pipes, groups, and tasks that keep no dead letter. To give up
	// together with such a task, return [NoRetry] of its error.
	//
	// While a handler waits for a result by this submitter, its slot is lent.
	Submitter Submitter

	// OnSuccess is what [OnSuccess] returns.
	OnSuccess Submitter
}

// NewContext returns a context in which [FromContext] finds info. Minions call
// it, and tests of handlers can.
func NewContext(ctx context.Context, info *Info) context.Context {
	return context.WithValue(ctx, infokey.Key{}, info)
}

// FromContext returns what is known about the attempt that ctx belongs to, and
// whether it belongs to one; if not, the Info is empty. Its submitters are never
// nil: outside of an attempt, and in an Info that was made by hand without them,
// they refuse all calls with an error that wraps [ErrInvalid].
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

// OnSuccess returns a submitter for what shall be sent only if the attempt that
// ctx belongs to succeeds: its calls are stored together with the success, all
// or nothing, and sent right after. Their futures have ids; waiting for them
// within the attempt is [ErrNotSubmitted]. At most 1,000 single tasks with 4 MiB
// of arguments can be sent so; pipes and groups can not: send a task that sends
// them. A call that the broker refuses then, as one whose unique key is taken,
// is logged and dropped. Outside of an attempt all its calls are refused, and on a
// broker without broker.Flows too, with [ErrUnsupported].
func OnSuccess(ctx context.Context) Submitter {
	info, _ := FromContext(ctx)
	return info.OnSuccess
}

// Why there is nobody to send calls.
var (
	noSubmitter = nowhere{ErrInvalid, "there is no submitter: that of an Info is for the context of a running task; elsewhere send by an arbiter"}
	noOnSuccess = nowhere{ErrNotSubmitted, "OnSuccess is for the context of a running task"}
)

// orNowhere returns s, or a submitter that says that there is none.
func orNowhere(s Submitter) Submitter {
	if s == nil {
		return noSubmitter
	}
	return s
}

// nowhere is a submitter where there is none.
type nowhere struct {
	await error
	why   string
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
	return fmt.Errorf("%s: %w: %s", Title(id, ""), n.await, n.why)
}
