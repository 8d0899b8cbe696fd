//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/schedule"
	"github.com/go-arbiter/arbiter/task"
)

// workArgs say what the handler does.
type workArgs struct {
	Key  string        `arbiter:"key"`
	For  time.Duration `arbiter:"for"` // duration of the handler, unless Till is set
	Till int64         `arbiter:"till,optional"`
	Deaf bool          `arbiter:"deaf"` // the handler ignores its context
	Fail int           `arbiter:"fail"` // number of failures before it succeeds; -1 means that it fails for good
	// Children are sent by the handler and awaited.
	Children int `arbiter:"children"`
	// ChildFor is how long each of them runs.
	ChildFor time.Duration `arbiter:"child_for,optional"`
	// Promises are sent if the attempt succeeds.
	Promises int `arbiter:"promises"`
	// Poison ends the process that runs the task.
	Poison bool `arbiter:"poison,optional"`
	// Slots is how many slots the task takes; 0 is one.
	Slots int `arbiter:"slots,optional"`
	// Ballast only makes the task large.
	Ballast string `arbiter:"ballast,optional"`
}

type stepArgs struct {
	Key      string `arbiter:"key"`
	Fail     int    `arbiter:"fail"`
	Upstream string `arbiter:"upstream"`
}

type combineArgs struct {
	Key      string   `arbiter:"key"`
	Upstream []string `arbiter:"upstream"`
}

// Every result is a value that names its attempt.
var (
	work = task.Define[workArgs, string]("work", task.WithBackoff(task.Constant(50*time.Millisecond)), task.Retries(5))
	// fresh is a task of a newer build. Minions of an older build do not know it.
	fresh = task.Define[workArgs, string]("fresh", task.WithBackoff(task.Constant(50*time.Millisecond)), task.Retries(5))
	// narrow is a task of which a minion runs at most narrowMost at once.
	narrow  = task.Define[workArgs, string]("narrow", task.WithBackoff(task.Constant(50*time.Millisecond)), task.Retries(5))
	step    = task.Define[stepArgs, string]("step", task.WithBackoff(task.Constant(50*time.Millisecond)), task.Retries(5))
	combine = task.Define[combineArgs, string]("combine")
)

func stepOf(key string, fail int) task.Step[string, string] {
	return task.NewStep[string](step, "upstream", map[string]any{"key": key, "fail": fail})
}

func combineOf(key string) task.Step[[]string, string] {
	return task.NewStep[[]string](combine, "upstream", map[string]any{"key": key})
}

// narrowMost is how many tasks narrow run at once in a minion.
const narrowMost = 2

// crowding are the options of minions about how many tasks run at once.
func crowding() minion.Option { return minion.AtMost(narrow.Name(), narrowMost) }

// worker is the state of the handlers of a process.
type worker struct {
	name   string
	slots  int // of its minion
	ledger Noter
	die    func() // ends the process; does not return earlier
}

// old reports whether the process is of the older build, as on one of the hosts.
func (w worker) old() bool { return strings.HasPrefix(w.name, "m1.") }

func (w worker) register(m *minion.Minion) error {
	var err error
	if !w.old() {
		err = task.Handle(m, fresh, func(ctx context.Context, a workArgs) (string, error) { return w.run(ctx, a) })
	}
	for _, t := range sleepers {
		err = errors.Join(err, task.Handle(m, t, func(ctx context.Context, a workArgs) (string, error) { return w.run(ctx, a) }))
	}
	return errors.Join(err,
		task.Handle(m, work, func(ctx context.Context, a workArgs) (string, error) { return w.run(ctx, a) }),
		task.Handle(m, narrow, func(ctx context.Context, a workArgs) (string, error) { return w.run(ctx, a) }),
		task.Handle(m, step, func(ctx context.Context, a stepArgs) (string, error) {
			return w.run(ctx, workArgs{Key: a.Key, Fail: a.Fail}, a.Upstream)
		}),
		task.Handle(m, combine, func(ctx context.Context, a combineArgs) (string, error) {
			return w.run(ctx, workArgs{Key: a.Key}, a.Upstream...)
		}))
}

// run is the body of every handler.
func (w worker) run(ctx context.Context, a workArgs, up ...string) (string, error) {
	info, _ := task.FromContext(ctx)
	tick, ticks := schedule.FromContext(ctx)
	if ticks { // all ticks of a schedule have the same arguments
		a.Key = fmt.Sprintf("%s@%d", a.Key, tick.Nominal.UnixMilli())
	}
	e := Event{Kind: Start, Key: a.Key, ID: info.ID.String(), Attempt: int(info.Attempt), Retried: info.Retried, Up: up, Of: w.slots}
	if a.Children == 0 {
		e.Slots = min(max(a.Slots, 1), w.slots)
		if info.Name == narrow.Name() {
			e.Most = narrowMost
		}
	}
	if ticks {
		e.Plan, e.Nominal = tick.Schedule, tick.Nominal.UnixNano()
		if strings.HasSuffix(tick.Schedule, lined) {
			e.Alone = "schedule " + tick.Schedule
		}
	}
	w.ledger.Note(e)
	e.Kind, e.Up, e.Retried, e.Slots, e.Of, e.Most, e.Plan, e.Nominal, e.Alone = Return, nil, 0, 0, 0, 0, "", 0, ""
	e.Value = fmt.Sprintf("%s#%d#%s", a.Key, info.Attempt, w.name)
	var err error
	switch err = w.act(ctx, info, a); {
	case err != nil && ctx.Err() != nil:
		e.Outcome = Cut
	case errors.Is(err, task.ErrMinionDied): // a child was given up, which does not mean that this task is
		e.Outcome, err = Fail, task.NoRetry(errors.New(e.Value))
	case err != nil: // a child could not be sent
		e.Outcome = Retry
	case a.Fail < 0:
		e.Outcome, err = Fail, task.NoRetry(errors.New(e.Value))
	case info.Retried < a.Fail:
		e.Outcome, err = Retry, errors.New(e.Value)
	default:
		e.Outcome = OK
	}
	w.ledger.Note(e)
	return e.Value, err
}

// act does the work of a handler between its start and its return. It returns an error if the
// context has ended, if a child could not be sent, or if one was given up.
func (w worker) act(ctx context.Context, info task.Info, a workArgs) error {
	if a.Till > 0 {
		a.For = time.Duration(a.Till - w.ledger.Now())
	}
	if a.For > 0 {
		over := ctx.Done()
		if a.Deaf {
			over = nil
		}
		select {
		case <-time.After(a.For):
		case <-over:
			return context.Cause(ctx)
		}
	}
	if a.Poison {
		w.ledger.Note(Event{Kind: Hit, Fault: Poisoned, Target: w.name, Key: a.Key})
		w.die()
	}
	for i := range a.Promises {
		key := fmt.Sprintf("%s/p%d", a.Key, i)
		w.ledger.Note(Event{Kind: Promise, Key: key, Parent: a.Key, Attempt: int(info.Attempt)})
		if _, err := work.With(task.Queue(info.Queue)).Bind(workArgs{Key: key}).Send(ctx, info.OnSuccess); err != nil {
			return err
		}
	}
	for i := range a.Children {
		key := fmt.Sprintf("%s/c%d", a.Key, i)
		w.ledger.Note(Event{Kind: Send, Key: key})
		fut, err := work.With(task.Queue(info.Queue)).Bind(workArgs{Key: key, For: a.ChildFor}).Send(ctx, info.Submitter)
		if err != nil {
			return fmt.Errorf("child: %w", err)
		}
		w.ledger.Note(Event{Kind: Accepted, Key: key, ID: fut.ID().String()})
		v, err := fut.Result(ctx)
		if err != nil {
			return fmt.Errorf("child: %w", err)
		}
		w.ledger.Note(Event{Kind: Got, Key: key, Outcome: Succeeded, Value: v})
	}
	return nil
}
