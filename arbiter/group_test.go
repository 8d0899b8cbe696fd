package arbiter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

func works(n ...int) []task.Call[int] {
	calls := make([]task.Call[int], len(n))
	for i, v := range n {
		calls[i] = work.Bind(args{v})
	}
	return calls
}

func note(n int) task.Bound { return noteTask.Bind(args{n}) }

// ended waits for the end of a group and everything in it.
func (r *rig) ended(g interface {
	Result(ctx context.Context, dest any) error
}) error {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 1000*time.Hour)
	defer cancel()
	err := g.Result(ctx, nil)
	if ctx.Err() != nil {
		r.Fatalf("the group does not end: %v", err)
	}
	return err
}

// flowOf returns the status of a group.
func (r *rig) flowOf(id task.ID) (arbiter.Status, *arbiter.FlowStatus) {
	r.Helper()
	st, err := r.arb.Status(context.Background(), id)
	if err != nil || st.Flow == nil {
		r.Fatalf("status: %v, %v", st, err)
	}
	return st, st.Flow
}

// As arbiter.group(tasks, callback) in the original: tasks in any order, a callback once all are done, a finalizer after all
// else.
func TestGroup(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, slow)
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(4, 1, 2),
			arbiter.Callback(note(1)), arbiter.Finalizer(note(2), 0))
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		for st, err := range g.WaitForMembers(t.Context()) {
			var n int
			if err == nil {
				err = st.Decode(&n)
			}
			if err != nil {
				t.Fatal(err)
			}
			order = append(order, n)
		}
		if !slices.Equal(order, []int{1, 2, 4}) {
			t.Errorf("done in the order %v", order)
		}
		got, err := g.Results(t.Context())
		if !slices.Equal(got, []int{4, 1, 2}) || err != nil {
			t.Errorf("results %v, %v", got, err)
		}
		if err := r.ended(g); err != nil {
			t.Error(err)
		}
		if got := j.noted(); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("callback and finalizer ran as %v", got)
		}
		st, f := r.flowOf(g.ID())
		if st.Phase() != broker.PhaseDone || st.State != broker.StateSucceeded || f.Done != 5 || f.Succeeded != 3 ||
			len(f.Tasks) != 5 || f.Callback.State != broker.StateSucceeded || f.Finalizer.State != broker.StateSucceeded || f.Reason != "" {
			t.Errorf("%+v %+v", st, f)
		}
	})
}

func TestGroupThen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(2, echo)
		g, fut, err := arbiter.GroupThen(t.Context(), r.arb, works(3, 1, 2), sumStep())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := await(t, fut); n != 6 || err != nil {
			t.Errorf("the callback gives %d, %v", n, err)
		}
		var n int
		if err := g.Result(t.Context(), &n); n != 6 || err != nil {
			t.Errorf("the group's result is %d, %v", n, err)
		}
	})
}

// The status of a group has the original's keys.
func TestGroupStatus(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(1, slow)
		g, err := r.arb.Group(t.Context(), task.Calls(works(1, 1000, 5)...), arbiter.Callback(note(1)))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		st, f := r.flowOf(g.ID())
		if st.Phase() != broker.PhaseRunning || f.Initiated != 2 || f.Running != 1 || f.Done != 1 || f.Callback.Phase() != broker.PhaseInitiated {
			t.Errorf("%+v %+v", st, f)
		}
		text, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]any
		if err := json.Unmarshal(text, &keys); err != nil {
			t.Fatal(err)
		}
		if keys["task_type"] != "group" || keys["state"] != "running" || keys["initiated"] != 2.0 || keys["running"] != 1.0 || keys["done"] != 1.0 {
			t.Errorf("%s", text)
		}
		tasks, _ := keys["tasks"].([]any)
		var states []string
		for _, m := range tasks {
			states = append(states, fmt.Sprint(m.(map[string]any)["state"]))
		}
		if !slices.Equal(states, []string{"done", "running", "initiated", "initiated"}) {
			t.Errorf("states %v in %s", states, text)
		}
		if _, err := r.arb.Status(t.Context(), broker.NewID(broker.KindGroup, "", 0)); !errors.Is(err, task.ErrNotFound) {
			t.Errorf("an unknown group: %v", err)
		}
		if _, err := r.arb.FindGroup(t.Context(), broker.NewID(broker.KindPipe, "", 0)); !errors.Is(err, task.ErrNotFound) {
			t.Errorf("an unknown pipe: %v", err)
		}
	})
}

// The status tells why a callback will never run. The finalizer still runs.
func TestGroupFailsFast(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, func(ctx context.Context, a args) (int, error) {
			if a.N == 0 {
				return 0, task.NoRetry(errBad)
			}
			return slow(ctx, a)
		})
		began := time.Now()
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(1000, 0, 1000, 1000), arbiter.Callback(note(1)), arbiter.Finalizer(note(2), 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(g); !errors.Is(err, task.ErrFlowFailed) {
			t.Errorf("error %v", err)
		}
		r.near("the end", began, 0, 5*time.Second)
		if got := j.noted(); !slices.Equal(got, []int{2}) {
			t.Errorf("callback and finalizer ran as %v", got)
		}
		st, f := r.flowOf(g.ID())
		if st.State != broker.StateFailed || f.Callback.State != broker.StateCanceled || f.Reason != "4 of 4 members had to succeed, and work did not: failed: bad" {
			t.Errorf("%+v, reason %q", f, f.Reason)
		}
		got, err := g.Results(t.Context())
		if len(got) != 4 || err == nil || !strings.Contains(err.Error(), "member 1: task work: bad") || !errors.Is(err, task.ErrCanceled) {
			t.Errorf("results %v, %v", got, err)
		}
	})
}

func TestGroupCollect(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, moody)
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(0, 1, 0), arbiter.Collect(), arbiter.Callback(note(1)))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(g); err != nil {
			t.Error(err)
		}
		if j.count("work") != 3 || j.count("note") != 1 {
			t.Errorf("%d members and %d callbacks ran", j.count("work"), j.count("note"))
		}
		g, err = arbiter.GroupOf(t.Context(), r.arb, works(0, 1, 0), arbiter.Quorum(2), arbiter.Callback(note(2)))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(g); !errors.Is(err, task.ErrFlowFailed) || j.count("note") != 1 {
			t.Errorf("error %v, %d callbacks", err, j.count("note"))
		}
	})
}

// As Task(..., task_type="finalize", timeout=N) in the original.
func TestFinalizerTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, slow)
		began := time.Now()
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(100), arbiter.Callback(note(1)), arbiter.Finalizer(note(2), 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for range arbiterWait(t, r.arb, g.Finalizer()) {
			r.near("the finalizer", began, 10*time.Second, time.Second)
		}
		if got := j.noted(); !slices.Equal(got, []int{2}) {
			t.Errorf("ran as %v", got)
		}
		if err := r.ended(g); err != nil {
			t.Error(err)
		}
		r.near("the end", began, 100*time.Second, time.Second)
		if got := j.noted(); !slices.Equal(got, []int{2, 1}) {
			t.Errorf("ran as %v", got)
		}
	})
}

func arbiterWait(t *testing.T, a *arbiter.Arbiter, ids ...task.ID) func(func(arbiter.Status) bool) {
	return func(yield func(arbiter.Status) bool) {
		for st, err := range a.WaitForTasks(t.Context(), ids...) {
			if err != nil {
				t.Fatal(err)
			}
			if !yield(st) {
				return
			}
		}
	}
}

// A callback that gets the results of tasks of different types.
func TestCallbackStep(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(2, moody)
		type anyArgs struct {
			Upstream []any `arbiter:"upstream"`
		}
		step := task.NewStep[[]any](task.Define[anyArgs, int]("count"), "upstream", nil)
		g, err := r.arb.Group(t.Context(), []task.Bound{work.Bind(args{1}), note(3), work.Bind(args{0})}, arbiter.Collect(),
			arbiter.CallbackStep(step))
		if err != nil {
			t.Fatal(err)
		}
		err = g.Result(t.Context(), nil)
		if _, ok := errors.AsType[*task.RemoteError](err); !ok { // count expects numbers, and gets a struct for the result of note
			t.Errorf("error %v", err)
		}
	})
}

func TestGroupRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(2, echo)
		one := task.Calls(works(1)...)
		for what, send := range map[string]func() error{
			"none of no members":    func() error { _, err := r.arb.Group(t.Context(), nil, arbiter.Quorum(1)); return err },
			"a zero call":           func() error { _, err := r.arb.Group(t.Context(), []task.Bound{task.Call[int]{}}); return err },
			"a nil call":            func() error { _, err := r.arb.Group(t.Context(), []task.Bound{nil}); return err },
			"quorum of 2 of 1":      func() error { _, err := r.arb.Group(t.Context(), one, arbiter.Quorum(2)); return err },
			"no callback":           func() error { _, err := r.arb.Group(t.Context(), one, arbiter.Callback(nil)); return err },
			"a finalizer's timeout": func() error { _, err := r.arb.Group(t.Context(), one, arbiter.Finalizer(note(1), -1)); return err },
			"a group at the end": func() error {
				_, err := r.arb.Group(t.Context(), one, arbiter.Finalizer(task.All(works(1)...), 0))
				return err
			},
			"a delayed callback": func() error {
				_, err := r.arb.Group(t.Context(), one, arbiter.Callback(work.With(task.Delay(time.Second)).Bind(args{1})))
				return err
			},
			"a step alone": func() error {
				_, err := r.arb.Group(t.Context(), []task.Bound{plus(1).Unbound()})
				return err
			},
			"unique for all": func() error {
				_, err := run2(r, task.All(works(1)...).With(task.Unique("x")))
				return err
			},
			"a step alone, sent": func() error { return r.arb.Submit(t.Context(), plus(1).Unbound()) },
		} {
			err := send()
			if !errors.Is(err, task.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// run2 sends a call that may be refused.
func run2[R any](r *rig, call task.Call[R]) (*task.Future[R], error) {
	return call.Send(context.Background(), r.arb)
}

// A member whose unique key is taken ends the group.
func TestGroupMemberRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		holder := r.send(1, task.Unique("k"), task.Delay(time.Hour))
		g, err := r.arb.Group(t.Context(), []task.Bound{work.With(task.Unique("k")).Bind(args{1}), work.Bind(args{2})}, arbiter.Finalizer(note(2), 0))
		if !errors.Is(err, task.ErrDuplicate) {
			t.Fatalf("error %v", err)
		}
		j := r.flowCrew(2, echo)
		if err := r.ended(g); !errors.Is(err, task.ErrCanceled) {
			t.Errorf("the group: %v", err)
		}
		if got := j.noted(); !slices.Equal(got, []int{2}) || j.count("work") != 0 {
			t.Errorf("notes %v, %d members ran", got, j.count("work"))
		}
		_ = holder
		g, err = r.arb.Group(t.Context(), []task.Bound{work.Bind(args{2})}, arbiter.Callback(note(1)),
			arbiter.Finalizer(work.With(task.Unique("k")).Bind(args{1}), 0))
		if !errors.Is(err, task.ErrDuplicate) {
			t.Fatalf("its finalizer: %v", err)
		}
		if err := r.ended(g); !errors.Is(err, task.ErrCanceled) {
			t.Errorf("the group without its finalizer: %v", err)
		}
		if j.count("work") != 0 {
			t.Errorf("%d members ran", j.count("work"))
		}
	})
}

// A group is kept for its own retention. Its handle can kill it, and a loop over its members can be left.
func TestGroupHandle(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(1, slow)
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(1, 1000), arbiter.GroupRetention(10*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		for st, err := range g.WaitForMembers(t.Context()) {
			if err != nil || st.State != broker.StateSucceeded {
				t.Fatal(st, err)
			}
			break
		}
		synctest.Wait() // the second one has started
		killed, err := g.Kill(t.Context(), arbiter.Wait())
		if got := verdicts(killed); err != nil || len(got) != 2 || got[0] != arbiter.Stopped {
			t.Errorf("%v, %v", got, err)
		}
		if err := r.ended(g); !errors.Is(err, task.ErrCanceled) {
			t.Error(err)
		}
		time.Sleep(9 * time.Minute)
		if st, err := g.Status(t.Context()); err != nil || st.State != broker.StateCanceled {
			t.Errorf("%+v, %v", st, err)
		}
		time.Sleep(3 * time.Minute)
		if _, err := g.Status(t.Context()); !errors.Is(err, task.ErrNotFound) {
			t.Errorf("after its retention: %v", err)
		}
		if _, err := r.arb.KillGroup(t.Context(), g.ID()); !errors.Is(err, task.ErrNotFound) {
			t.Errorf("kill after its retention: %v", err)
		}
		_ = r.arb.Close()
		if _, err := g.Status(t.Context()); !errors.Is(err, task.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if err := g.Send(t.Context()); !errors.Is(err, task.ErrClosed) {
			t.Errorf("send after Close: %v", err)
		}
	})
}

// If the broker can't be reached while a group is sent, the submission is tried again, and after that the group's Send
// sends it.
func TestGroupSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(1, echo)
		out := true
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if out && op == faulty.Enqueue {
				return faulty.ErrUnavailable
			}
			return nil
		}})
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(1, 2), arbiter.Callback(note(1)))
		if !errors.Is(err, task.ErrIndeterminate) || !errors.Is(err, task.ErrUnavailable) {
			t.Fatal(err)
		}
		out = false
		if err := g.Send(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := g.Results(t.Context()); !slices.Equal(got, []int{1, 2}) || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		if err := r.ended(g); err != nil || j.count("note") != 1 {
			t.Errorf("%d callbacks, %v", j.count("note"), err)
		}
	})
}
