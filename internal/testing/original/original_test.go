package original

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
	"github.com/go-arbiter/arbiter/task"
)

// 20 tasks send a task each, with 10 slots. One form sends a request, the other sends by name.
func TestTaskInTask(t *testing.T) {
	onBoth(t, 10, func(r *rig) {
		for _, name := range []string{"add_in_task", "add_in_task_by_name"} {
			var args []arbiter.ApplyOption
			if name == "add_in_task" {
				args = append(args, arbiter.Args(1, 2))
			}
			ids, err := r.arb.Apply(r.ctx(), name, append(args, arbiter.Count(20))...)
			if err != nil {
				r.Fatal(err)
			}
			n := 0
			for st, err := range r.arb.WaitForTasks(r.ctx(), ids...) {
				sum, bad := st.Result()
				if err != nil || bad != nil || sum != int64(3) {
					r.Fatalf("%s returned %v, %v, %v", name, sum, bad, err)
				}
				n++
			}
			if n != 20 {
				r.Errorf("%s: %d tasks were done, want 20", name, n)
			}
		}
	})
}

// A pipe of 20 steps with persistent arguments.
func TestPipe(t *testing.T) {
	onBoth(t, 3, func(r *rig) {
		steps := make([]task.Bound, 20)
		for i := range steps {
			steps[i] = arbiter.Named("simple_add", arbiter.Args(1))
		}
		p, err := r.arb.Pipe(r.ctx(), steps, arbiter.PersistentArgs(4))
		if err != nil || p.ID() == (task.ID{}) {
			r.Fatal(err)
		}
		want := int64(0)
		for st, err := range p.WaitForMembers(r.ctx()) {
			want += 5
			if sum, bad := st.Result(); err != nil || bad != nil || sum != want {
				r.Fatalf("a step returned %v, want %d; errors: %v, %v", sum, want, bad, err)
			}
		}
		if want != 100 {
			r.Errorf("the pipe ended before the step that should return %d", want)
		}
	})
}

// The persistent arguments come before the step's own arguments.
func TestPersistentArgs(t *testing.T) {
	onBoth(t, 3, func(r *rig) {
		steps := make([]task.Bound, 20)
		for i := range steps {
			steps[i] = arbiter.Named("subtract", arbiter.Args(i))
		}
		p, err := r.arb.Pipe(r.ctx(), steps, arbiter.PersistentArgs(100))
		if err != nil {
			r.Fatal(err)
		}
		i, want := int64(0), int64(0)
		for st, err := range p.WaitForMembers(r.ctx()) {
			want += 100 - i
			if sum, bad := st.Result(); err != nil || bad != nil || sum != want {
				r.Fatalf("step %d returned %v, want %d; errors: %v, %v", i, sum, want, bad, err)
			}
			i++
		}
		if i != 20 {
			r.Errorf("%d steps were done, want 20", i)
		}
	})
}

// A task that runs for long is killed, and so is one that has not started.
func TestKill(t *testing.T) {
	onBoth(t, 1, func(r *rig) {
		ids, err := r.arb.Apply(r.ctx(), "long_running", arbiter.Count(2))
		if err != nil {
			r.Fatal(err)
		}
		r.until("a task runs", func() bool { return r.started.Load() == 1 })
		var runs, waits task.ID
		r.until("its state", func() bool {
			for _, id := range ids {
				st, err := r.arb.Status(r.ctx(), id)
				if err != nil {
					r.Fatal(err)
				}
				if st.Phase() == broker.PhaseRunning {
					runs = id
				} else {
					waits = id
				}
			}
			return runs != task.ID{}
		})
		if v, err := r.arb.Kill(r.ctx(), waits); v != arbiter.NeverStarted || err != nil {
			r.Errorf("the kill of the waiting task returned %s, %v", v, err)
		}
		began, busy := time.Now(), stall.Start(r)
		if v, err := r.arb.Kill(r.ctx(), runs, arbiter.Wait()); v != arbiter.Stopped || err != nil {
			r.Errorf("the kill of the running task returned %s, %v", v, err)
		}
		if d := time.Since(began); d > busy.Late(5*time.Second) {
			r.Errorf("the kill took %v", d)
		}
		if r.started.Load() != 1 {
			r.Errorf("%d tasks were started, want 1", r.started.Load())
		}
	})
}

// When a group is killed, no member starts any more, and the finalizer runs.
func TestKillGroup(t *testing.T) {
	onBoth(t, 2, func(r *rig) {
		members := make([]task.Bound, 10)
		for i := range members {
			members[i] = arbiter.Named("long_running")
		}
		g, err := r.arb.Group(r.ctx(), members, arbiter.Callback(arbiter.Named("callback")), arbiter.Finalizer(arbiter.Named("finalize"), 0))
		if err != nil {
			r.Fatal(err)
		}
		r.until("two run", func() bool { return r.started.Load() == 2 })
		killed, err := r.arb.KillGroup(r.ctx(), g.ID(), arbiter.Wait())
		counts := make(map[arbiter.Verdict]int)
		for _, k := range killed {
			counts[k.Verdict]++
		}
		if err != nil || counts[arbiter.Stopped] != 2 || counts[arbiter.NeverStarted] != 9 {
			r.Errorf("%v, %v", counts, err)
		}
		if err := g.Result(r.ctx(), nil); !errors.Is(err, task.ErrCanceled) {
			r.Errorf("the killed group returned the error %v", err)
		}
		if r.started.Load() != 2 || r.callbacks.Load() != 0 || r.finals.Load() != 1 {
			r.Errorf("%d members, %d callbacks and %d finalizers were started", r.started.Load(), r.callbacks.Load(), r.finals.Load())
		}
	})
}

// A group with callback and finalizer.
func TestGroup(t *testing.T) {
	onBoth(t, 3, func(r *rig) {
		members := make([]task.Bound, 20)
		for i := range members {
			members[i] = arbiter.Named("simple_add", arbiter.Args(i, 1))
		}
		g, err := r.arb.Group(r.ctx(), members, arbiter.Callback(arbiter.Named("callback")), arbiter.Finalizer(arbiter.Named("finalize"), time.Minute))
		if err != nil {
			r.Fatal(err)
		}
		if err := g.Result(r.ctx(), nil); err != nil {
			r.Error(err)
		}
		var want []string
		for i := range members {
			want = append(want, fmt.Sprintf("task %d", i+1))
		}
		r.listed(g.ID(), append(want, "callback 1", "finalize 1")...)
		if r.callbacks.Load() != 1 || r.finals.Load() != 1 {
			r.Errorf("%d callbacks and %d finalizers ran, want one of each", r.callbacks.Load(), r.finals.Load())
		}
	})
}

// A member of a group fails: the callback never runs, its status has the reason, and the finalizer
// runs.
func TestGroupFails(t *testing.T) {
	onBoth(t, 3, func(r *rig) {
		members := []task.Bound{arbiter.Named("long_running"), arbiter.Named("simple_add", arbiter.Args("x")), arbiter.Named("long_running")}
		g, err := r.arb.Group(r.ctx(), members, arbiter.Callback(arbiter.Named("callback")), arbiter.Finalizer(arbiter.Named("finalize"), 0))
		if err != nil {
			r.Fatal(err)
		}
		if err := g.Result(r.ctx(), nil); !errors.Is(err, task.ErrFlowFailed) {
			r.Errorf("the group with a failed member returned the error %v", err)
		}
		st, err := g.Status(r.ctx())
		if err != nil || st.Flow.Reason == "" || st.Flow.Callback.State != broker.StateCanceled || st.Flow.Finalizer.State != broker.StateSucceeded {
			r.Errorf("%+v, %v", st.Flow, err)
		}
		if r.callbacks.Load() != 0 || r.finals.Load() != 1 {
			r.Errorf("%d callbacks and %d finalizers ran, want 0 and 1", r.callbacks.Load(), r.finals.Load())
		}
	})
}

// A synchronous call returns the result of its task.
func TestSync(t *testing.T) {
	onBoth(t, 2, func(r *rig) {
		done, err := r.arb.ApplySync(r.ctx(), "simple_add", arbiter.Args(1, 2))
		if err != nil || len(done) != 1 {
			r.Fatal(done, err)
		}
		if sum, err := done[0].Result(); err != nil || sum != int64(3) {
			r.Errorf("the result is %v, %v", sum, err)
		}
		st, err := r.arb.Status(r.ctx(), done[0].ID)
		if sum, bad := st.Result(); err != nil || bad != nil || st.Phase() != broker.PhaseDone || sum != int64(3) {
			r.Errorf("the status is %+v, with the errors %v and %v", st, bad, err)
		}
	})
}

// A synchronous call of several copies returns the result of each.
func TestSyncOfSeveral(t *testing.T) {
	onBoth(t, 2, func(r *rig) {
		done, err := r.arb.ApplySync(r.ctx(), "simple_add", arbiter.Args(1, 2), arbiter.Count(5))
		if err != nil || len(done) != 5 {
			r.Fatal(done, err)
		}
		for _, st := range done {
			if sum, err := st.Result(); err != nil || sum != int64(3) {
				r.Errorf("a result is %v, %v", sum, err)
			}
		}
	})
}
