package arbiter_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// verdicts returns the verdicts of a kill, without the ids.
func verdicts(killed []arbiter.Killed) []arbiter.Verdict {
	out := make([]arbiter.Verdict, len(killed))
	for i, k := range killed {
		out[i] = k.Verdict
	}
	slices.Sort(out)
	return out
}

// As arbiter.kill_group(id) in the original, from another process.
func TestKillGroup(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, func(ctx context.Context, a args) (int, error) {
			n, err := slow(ctx, a)
			if err != nil && !errors.Is(context.Cause(ctx), task.ErrCanceled) {
				t.Errorf("cause %v", context.Cause(ctx))
			}
			return n, err
		})
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(1, 1000, 1000, 1000, 1000), arbiter.Callback(note(1)), arbiter.Finalizer(note(2), 0))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		began := time.Now()
		other := r.arbiter()
		killed, err := other.KillGroup(t.Context(), g.ID(), arbiter.Wait())
		if err != nil {
			t.Fatal(err)
		}
		// The callback and two members had not started.
		want := []arbiter.Verdict{arbiter.NeverStarted, arbiter.NeverStarted, arbiter.NeverStarted, arbiter.Stopped, arbiter.Stopped, arbiter.TooLate}
		if got := verdicts(killed); !slices.Equal(got, want) {
			t.Errorf("verdicts %v, want %v", got, want)
		}
		if err := r.ended(g); !errors.Is(err, task.ErrCanceled) {
			t.Errorf("error %v", err)
		}
		r.near("the end", began, 0, 5*time.Second)
		if got := j.noted(); !slices.Equal(got, []int{2}) || j.count("work") != 3 {
			t.Errorf("notes %v, %d members ran", got, j.count("work"))
		}
		_, f := r.flowOf(g.ID())
		if !f.Killed || f.Reason != "the group was killed" || f.Callback.State != broker.StateCanceled {
			t.Errorf("%+v", f)
		}
		killed, err = other.KillGroup(t.Context(), g.ID())
		if err != nil || len(killed) != 5 || verdicts(killed)[0] != arbiter.TooLate || verdicts(killed)[4] != arbiter.TooLate {
			t.Errorf("again: %v, %v", killed, err)
		}
	})
}

// As arbiter.kill in the original, of a pipe and its queued steps.
func TestKillPipe(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, slow)
		call := task.Then(task.Then(work.Bind(args{1000}), plus(1)), task.Fork(plus(1), task.Chain(plus(2), plus(3))))
		fut, err := call.Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if v, err := r.arb.Kill(t.Context(), fut.ID(), arbiter.Wait()); v != arbiter.Stopped || err != nil {
			t.Errorf("%s, %v", v, err)
		}
		if _, err := await(t, fut); !errors.Is(err, task.ErrCanceled) {
			t.Errorf("error %v", err)
		}
		if j.count("add") != 0 {
			t.Error("steps ran")
		}
		if v, err := r.arb.Kill(t.Context(), fut.ID()); v != arbiter.TooLate || err != nil {
			t.Errorf("again: %s, %v", v, err)
		}
	})
}

// A member that is killed alone counts as one that did not succeed.
func TestKillMember(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		delayed := work.With(task.Delay(time.Hour)).Bind(args{1})
		g, err := r.arb.Group(t.Context(), []task.Bound{delayed, work.With(task.Delay(time.Hour)).Bind(args{2})}, arbiter.Callback(note(1)), arbiter.Collect())
		if err != nil {
			t.Fatal(err)
		}
		ids, err := g.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids { // without a minion, the arbiter itself moves the group on
			if v, err := r.arb.Kill(t.Context(), id); v != arbiter.NeverStarted || err != nil {
				t.Errorf("%s, %v", v, err)
			}
		}
		j := r.flowCrew(1, echo)
		if err := r.ended(g); err != nil {
			t.Error(err)
		}
		if j.count("note") != 1 || j.count("work") != 0 {
			t.Errorf("%d callbacks, %d members ran", j.count("note"), j.count("work"))
		}
	})
}

// A handler that ignores its context makes its task Unresponsive.
func TestKillUnresponsive(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(2, func(_ context.Context, a args) (int, error) {
			time.Sleep(time.Duration(a.N) * time.Second)
			return a.N, nil
		})
		deaf := r.send(60)
		time.Sleep(time.Second)
		began := time.Now()
		v, err := r.arb.Kill(t.Context(), deaf.ID(), arbiter.WaitAtMost(5*time.Second))
		if v != arbiter.Unresponsive || err != nil {
			t.Errorf("%s, %v", v, err)
		}
		r.near("the verdict", began, 5*time.Second, time.Second)
		v, err = r.arb.Kill(t.Context(), deaf.ID(), arbiter.WaitAtMost(time.Hour))
		if v != arbiter.TooLate || err != nil { // it has finished all the same
			t.Errorf("%s, %v", v, err)
		}
	})
}

// No member starts after KillGroup has returned, at whatever moment of the sending that is.
func TestKillGroupWhileItIsSent(t *testing.T) {
	for _, pause := range []time.Duration{10 * time.Millisecond, 300 * time.Millisecond} {
		for _, at := range []int{1, 3, 7} {
			killWhileItIsSent(t, pause, time.Duration(at)*pause)
		}
	}
}

// Members that another process cancels while their group is killed are NeverStarted, not TooLate.
func TestKillGroupTogether(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		calls := []task.Bound{work.With(task.Delay(time.Hour)).Bind(args{1}), work.With(task.Delay(time.Hour)).Bind(args{2})}
		g, err := r.arb.Group(t.Context(), calls)
		if err != nil {
			t.Fatal(err)
		}
		members, err := r.b.Members(t.Context(), g.ID(), 0, 2, true)
		if err != nil {
			t.Fatal(err)
		}
		var once atomic.Bool
		r.b.Set(faulty.Hooks{Before: func(ctx context.Context, op faulty.Op, _ int) error {
			if op == faulty.Cancel && !once.Swap(true) {
				verdicts, err := r.b.Broker.Cancel(ctx, []broker.ID{members[0].ID, members[1].ID})
				if !slices.Equal(verdicts, []broker.CancelVerdict{broker.CancelPrevented, broker.CancelPrevented}) {
					t.Errorf("verdicts of the other one: %v", verdicts)
				}
				return err
			}
			return nil
		}})
		killed, err := r.arb.KillGroup(t.Context(), g.ID())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := verdicts(killed), []arbiter.Verdict{arbiter.NeverStarted, arbiter.NeverStarted}; !slices.Equal(got, want) || !once.Load() {
			t.Errorf("verdicts %v, want %v", got, want)
		}
	})
}

// A member that ran, and that another process has stopped in the same kill, is Stopped.
func TestKillGroupStoppedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(1, slow)
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(1000, 1000))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		members, err := r.b.Members(t.Context(), g.ID(), 0, 2, true)
		if err != nil {
			t.Fatal(err)
		}
		var once atomic.Bool
		r.b.Set(faulty.Hooks{Before: func(ctx context.Context, op faulty.Op, _ int) error {
			if op != faulty.Cancel || once.Swap(true) {
				return nil
			}
			_, err := r.b.Broker.Cancel(ctx, []broker.ID{members[0].ID, members[1].ID})
			time.Sleep(time.Second) // until the first has ended
			return err
		}})
		killed, err := r.arb.KillGroup(t.Context(), g.ID())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := verdicts(killed), []arbiter.Verdict{arbiter.NeverStarted, arbiter.Stopped}; !slices.Equal(got, want) || !once.Load() {
			t.Errorf("verdicts %v, want %v", got, want)
		}
	})
}

// The same for pipes in the group, most of which are not even opened yet: none of their members starts.
func TestKillNestedWhileItIsSent(t *testing.T) {
	for _, at := range []int{20, 400, 1100, 1500, 2200} {
		bubble(t, func(t *testing.T, r *rig) {
			j := r.flowCrew(4, slow)
			pipes := make([]*request.Request, 200)
			for i := range pipes {
				pipes[i] = task.Then(task.Then(work.Bind(args{1}), plus(1)), plus(2)).Request()
			}
			group := request.Group(pipes, request.GroupSettings{
				Quorum: 200, Callback: work.Bind(args{1}).Request(), Finalizer: noteTask.Bind(args{2}).Request(),
			})
			sent := make(chan error, 1)
			slowly(r.b, 10*time.Millisecond)
			go func() { sent <- r.arb.Submit(context.Background(), group) }()
			time.Sleep(time.Duration(at) * time.Millisecond)
			other := r.arbiter()
			if _, err := other.KillGroup(t.Context(), group.ID()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // a handler that began before the kill returned may not have counted itself yet
			before := j.count("work")
			if err := <-sent; err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			st, f := r.flowOf(group.ID())
			if st.State != broker.StateCanceled || f.Finalizer.State != broker.StateSucceeded || j.count("work") != before || j.count("note") != 1 {
				t.Errorf("after %d ms: %+v, %+v; %d and %d members ran, %d finalizers", at, st, f.Finalizer, before, j.count("work"), j.count("note"))
			}
			var ids []task.ID
			for _, p := range group.Flow().Members {
				ids = append(ids, p.ID())
				for _, m := range p.Flow().Members {
					ids = append(ids, m.ID())
				}
			}
			found, err := r.b.Lookup(t.Context(), ids)
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range found {
				if st.State != broker.StateUnknown && !st.State.Final() {
					t.Fatalf("after %d ms: %s %s is left %s", at, st.ID.String(), st.Queue, st.State)
				}
			}
		})
	}
}

func killWhileItIsSent(t *testing.T, pause, at time.Duration) {
	bubble(t, func(t *testing.T, r *rig) {
		var dead atomic.Bool
		j := r.flowCrew(4, func(ctx context.Context, a args) (int, error) {
			if dead.Load() {
				t.Error("a member starts after the kill")
			}
			return slow(ctx, a)
		})
		calls := make([]task.Call[int], 5000)
		for i := range calls {
			calls[i] = work.Bind(args{1})
		}
		call := task.All(calls...)
		sent := make(chan error, 1)
		slowly(r.b, pause)
		go func() {
			_, err := call.Send(context.Background(), r.arb)
			sent <- err
		}()
		for call.Request().ID().IsZero() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(at)
		other := r.arbiter()
		for {
			_, err := other.KillGroup(t.Context(), call.Request().ID())
			if !errors.Is(err, task.ErrNotFound) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			time.Sleep(time.Millisecond)
		}
		dead.Store(true)
		if err := <-sent; err != nil && !errors.Is(err, task.ErrIndeterminate) {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		st, _ := r.flowOf(call.Request().ID())
		if st.State != broker.StateCanceled {
			t.Errorf("%+v", st)
		}
		if n := j.count("work"); n > 2000 {
			t.Errorf("%d members ran", n)
		}
	})
}

// A group that has failed by itself and is killed before it has ended ends as failed, unless the kill ends it first. The
// verdict of members that were never to start is NeverStarted.
func TestKillGroupThatHasFailed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		started := make(chan struct{}) // the second member has started, before the others are cancelled because of the first
		r.flowCrew(1, func(ctx context.Context, a args) (int, error) {
			if a.N < 0 {
				return 0, task.NoRetry(errBad)
			}
			close(started)
			return slow(ctx, a)
		})
		sent, killed := make(chan task.ID, 1), make(chan []arbiter.Killed, 1)
		var once atomic.Bool
		r.b.Set(faulty.Hooks{Before: func(ctx context.Context, op faulty.Op, _ int) error {
			if op == faulty.Cancel {
				<-started
			}
			if op != faulty.EndFlow || once.Swap(true) {
				return nil
			}
			verdicts, err := r.arb.KillGroup(ctx, <-sent)
			killed <- verdicts
			return err
		}})
		g, err := arbiter.GroupOf(t.Context(), r.arb, works(-1, 1000, 1000))
		if err != nil {
			t.Fatal(err)
		}
		sent <- g.ID()
		var all []int
		err = g.Result(t.Context(), &all)
		st, _ := r.flowOf(g.ID())
		failed := errors.Is(err, task.ErrFlowFailed) && st.State == broker.StateFailed
		if !failed && !(errors.Is(err, task.ErrCanceled) && st.State == broker.StateCanceled) {
			t.Errorf("result: %v, status %+v", err, st)
		}
		ids, err := g.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []arbiter.Verdict{arbiter.TooLate, arbiter.Stopped, arbiter.NeverStarted}
		verdicts := <-killed
		for _, k := range verdicts {
			i := slices.Index(ids, k.ID)
			if k.Verdict != want[i] {
				t.Errorf("member %d: %s, want %s", i, k.Verdict, want[i])
			}
		}
		if len(verdicts) != len(want) {
			t.Errorf("verdicts %v", verdicts)
		}
	})
}
