package arbiter

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// MaxCount is the largest value of [Count].
const MaxCount = 100_000

// ApplyOption changes what [Arbiter.Apply] does. If an option is given twice, the later one counts, unless its
// documentation says otherwise.
type ApplyOption interface {
	applyTo(*application)
}

// application collects the options of one Apply.
type application struct {
	args  codec.Arguments
	count int
	opts  []task.Option
	err   error
}

type applyFunc func(*application)

func (f applyFunc) applyTo(a *application) { f(a) }

// Args are arguments by position: the first parameters of the task. The arguments of several Args are appended to
// each other. The default is none. [KwArgs] can be given beside it, for other parameters.
func Args(args ...any) ApplyOption {
	return applyFunc(func(a *application) { a.args.Positional = append(a.args.Positional, args...) })
}

// KwArgs are arguments by the names of the parameters. The maps of several KwArgs are merged, and the last value of a
// name counts. The default is none.
func KwArgs(args map[string]any) ApplyOption {
	return applyFunc(func(a *application) { a.args.Named = merged(a.args.Named, args) })
}

// Count starts n copies of the task, 1 to [MaxCount]. The default is 1.
func Count(n int) ApplyOption {
	return applyFunc(func(a *application) {
		if n < 1 || n > MaxCount {
			a.err = cmp.Or(a.err, fmt.Errorf("%w option: Count(%d), want 1 to %d", broker.ErrInvalid, n, MaxCount))
		}
		a.count = n
	})
}

// Queue sends the task to the queue with that name. The default is [task.DefaultQueue].
func Queue(name string) ApplyOption {
	return applyFunc(func(a *application) { a.opts = append(a.opts, task.Queue(name)) })
}

// Options adds options of package task, such as [task.Delay] and [task.Retries]. Later options win over earlier ones.
func Options(opts ...task.Option) ApplyOption {
	return applyFunc(func(a *application) { a.opts = append(a.opts, opts...) })
}

// Apply starts a task by its name and returns the ids of its copies, as many as [Count] says. The tasks are stored
// when it returns, even if no minion is there. Only a minion knows whether the task exists and whether the arguments
// fit it: if not, the task fails with that reason.
//
// If some copies are not stored, the error is a [*task.SubmitError], as in [Arbiter.Submit], and the ids are those of
// the copies that are stored or may be. With [task.ConflictJoin], the id of a copy that joins another task is that of this
// task. [Arbiter.ApplySync] waits for the results.
func (a *Arbiter) Apply(ctx context.Context, name string, opts ...ApplyOption) ([]task.ID, error) {
	app := application{count: 1}
	for _, o := range opts {
		if o != nil {
			o.applyTo(&app)
		}
	}
	if app.err != nil {
		return nil, fmt.Errorf("apply %s: %w", name, app.err)
	}
	requests := make([]*request.Request, app.count)
	calls := make([]task.Bound, app.count)
	for i := range calls {
		call := task.Named(name, app.args, app.opts...)
		calls[i], requests[i] = call, call.Request()
	}
	err := a.submit(ctx, calls)
	lost := make([]bool, len(calls))
	var joined map[int]task.ID // by position, the task that a copy joins
	if sub, ok := errors.AsType[*task.SubmitError](err); ok {
		joined, err = join(sub, requests)
		for _, f := range sub.Failed {
			_, joins := joined[f.Index]
			lost[f.Index] = !joins && !errors.Is(f.Err, task.ErrIndeterminate)
		}
	}
	ids := make([]task.ID, 0, len(calls))
	for i, req := range requests {
		if holder, joins := joined[i]; joins {
			ids = append(ids, holder)
		} else if !lost[i] {
			ids = append(ids, req.ID())
		}
	}
	return ids, err
}

// join takes the calls that join another task out of the error of their submission. It returns these tasks by the
// positions of the calls, and the error of the other calls. The request of a zero call is nil.
func join(sub *task.SubmitError, requests []*request.Request) (joined map[int]task.ID, left error) {
	rest := &task.SubmitError{Total: sub.Total}
	for _, f := range sub.Failed {
		req := requests[f.Index]
		if req == nil {
			rest.Failed = append(rest.Failed, f)
			continue
		}
		holder, joins, reason := req.Join(f.Err)
		if joins {
			if joined == nil {
				joined = make(map[int]task.ID)
			}
			joined[f.Index] = holder
			continue
		}
		if reason != nil {
			f.Err = reason
		}
		rest.Failed = append(rest.Failed, f)
	}
	if len(rest.Failed) == 0 {
		return joined, nil
	}
	return joined, rest
}

// ApplySync is [Arbiter.Apply] that waits until all the tasks are done, as the original's apply does with sync=True. It
// returns their statuses in the order of the copies. [Status.Decode] and [Status.Result] return the result of each. A
// task that did not succeed is no error of ApplySync: [Status.Err] returns its error.
//
// The error is one of these:
//
//   - the error of Apply. Nothing was waited for, and the statuses are those of the copies that are stored or may be,
//   - an error that wraps ctx's error or [task.ErrClosed], if the wait has ended first,
//   - the joined errors of tasks whose results are no longer kept, which wrap [task.ErrNotFound].
//
// With an error, a task that is not known to be done has a status with only its id, whose Decode returns [ErrNotDone].
func (a *Arbiter) ApplySync(ctx context.Context, name string, opts ...ApplyOption) ([]Status, error) {
	ids, err := a.Apply(ctx, name, opts...)
	statuses := make([]Status, len(ids))
	index := make(map[task.ID]int, len(ids))
	for i, id := range ids {
		statuses[i].ID, index[id] = id, i
	}
	if err != nil {
		return statuses, err
	}
	w := a.client.Watch(ids...)
	defer w.Close()
	var lost []error
	for left := w.Len(); left > 0; {
		arrivals, err := w.Wait(ctx)
		if err != nil {
			return statuses, fmt.Errorf("wait for %d of %d tasks: %w", left, w.Len(), err)
		}
		left -= len(arrivals)
		for i := range arrivals {
			arrival := &arrivals[i]
			if arrival.State.Final() {
				statuses[index[arrival.ID]] = a.arrived(arrival)
			} else {
				lost = append(lost, arrival.Err())
			}
		}
	}
	return statuses, errors.Join(lost...)
}
