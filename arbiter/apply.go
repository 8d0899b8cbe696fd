package arbiter

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// MaxCount is the largest [Count].
const MaxCount = 100_000

// ApplyOption changes what [Arbiter.Apply] does. Of an option that is given twice the
// later one counts, unless it says otherwise.
type ApplyOption interface {
	applyTo(*application)
}

// application is an Apply under way.
type application struct {
	args  codec.Arguments
	count int
	opts  []task.Option
	err   error
}

type applyFunc func(*application)

func (f applyFunc) applyTo(a *application) { f(a) }

// Args are the arguments by position: the first parameters of the task. Those of
// several Args come one after the other. The default is none. Both Args and
// [KwArgs] can be given, for different parameters.
func Args(args ...any) ApplyOption {
	return applyFunc(func(a *application) { a.args.Positional = append(a.args.Positional, args...) })
}

// KwArgs are arguments by the names of the parameters. Those of several KwArgs are
// put together; of the same name the last one counts. The default is none.
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

// Queue sends the task to a queue. The default is [task.DefaultQueue].
func Queue(name string) ApplyOption {
	return applyFunc(func(a *application) { a.opts = append(a.opts, task.Queue(name)) })
}

// Options adds options of package task, such as [task.Delay] and
// [task.Retries]. Later ones win over earlier ones.
func Options(opts ...task.Option) ApplyOption {
	return applyFunc(func(a *application) { a.opts = append(a.opts, opts...) })
}

// Apply starts a task by its name and returns the ids of its copies. The tasks
// are stored when it returns, whether there is a minion for them or not. That
// there is no such task, or that the arguments do not fit it, is known by the
// minion alone: it fails the task with that reason.
//
// If some are not stored, the error is a [*task.SubmitError], as that of
// [Arbiter.Submit], and the ids are those of the tasks that are stored or may
// be. [Arbiter.ApplySync] waits for the results.
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
	requests := make([]*task.Request, app.count)
	calls := make([]task.Bound, app.count)
	for i := range calls {
		requests[i] = task.NewRequest(name, app.args, app.opts...)
		calls[i] = requests[i]
	}
	err := a.submit(ctx, calls)
	lost := make([]bool, len(calls))
	var sub *task.SubmitError
	if errors.As(err, &sub) {
		for _, f := range sub.Failed {
			lost[f.Index] = !errors.Is(f.Err, task.ErrIndeterminate)
		}
	}
	ids := make([]task.ID, 0, len(calls))
	for i, req := range requests {
		if !lost[i] {
			ids = append(ids, req.ID())
		}
	}
	return ids, err
}

// ApplySync is [Arbiter.Apply] that waits until all the tasks are done, as the
// original's apply does with sync=True. It returns their statuses in the order of
// the copies: [Status.Decode] and [Status.Result] give the result of each, and
// [Status.Err] says what became of one that did not succeed, which is no error
// here.
//
// If the error is not nil, the statuses are those of the tasks that are stored or
// may be, and one that is not known to be done has its id alone: [ErrNotDone] is
// the error of its Decode. The error is that of Apply, and then nothing was waited
// for; or it is ctx's, or wraps [task.ErrClosed]; or it joins those of tasks whose
// results are not kept any more, which wrap [task.ErrNotFound].
func (a *Arbiter) ApplySync(ctx context.Context, name string, opts ...ApplyOption) ([]Status, error) {
	ids, err := a.Apply(ctx, name, opts...)
	statuses := make([]Status, len(ids))
	place := make(map[task.ID]int, len(ids))
	for i, id := range ids {
		statuses[i].ID, place[id] = id, i
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
				statuses[place[arrival.ID]] = a.arrived(arrival)
			} else {
				lost = append(lost, arrival.Err())
			}
		}
	}
	return statuses, errors.Join(lost...)
}
