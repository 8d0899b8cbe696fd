package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// rows returns type, state and result of each task in a status in JSON.
func rows(keys map[string]any) []string {
	var out []string
	list, _ := keys["tasks"].([]any)
	for _, v := range list {
		m, _ := v.(map[string]any)
		out = append(out, fmt.Sprint(m["task_type"], " ", m["state"], " ", m["result"]))
	}
	return out
}

// As in the original, each entry of a group's tasks has its result. Callback and finalizers are in it with their types, and
// count.
func TestFlowStatus(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(3, func(_ context.Context, a args) (int, error) {
			if a.N < 0 {
				return 0, task.NoRetry(errBad)
			}
			return a.N, nil
		})
		same := func(what string, id task.ID, done float64, want ...string) {
			t.Helper()
			st, err := r.arb.Status(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			got := keys(t, st)
			if !slices.Equal(rows(got), want) || got["done"] != done || got["initiated"] != 0.0 || got["running"] != 0.0 {
				t.Errorf("%s: %v, %v done; want %v", what, rows(got), got["done"], want)
			}
		}
		ends := []arbiter.GroupOption{arbiter.Callback(work.Bind(args{8})), arbiter.Finalizer(work.Bind(args{9}), 0)}
		g, err := r.arb.Group(t.Context(), task.Calls(works(1, 2)...), ends...)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(g); err != nil {
			t.Fatal(err)
		}
		same("a group", g.ID(), 4, "task done 1", "task done 2", "callback done 8", "finalize done 9")

		s, err := r.arb.Squad(t.Context(), task.Calls(works(1, 2)...), ends[0], ends[1], arbiter.WaitForWorkers(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(s); err != nil {
			t.Fatal(err)
		}
		same("a squad", s.ID(), 4, "task done 1", "task done 2", "callback done 8", "finalize done 9")

		bad, err := r.arb.Group(t.Context(), []task.Bound{work.Bind(args{-1}), task.All(works(3, 4)...)},
			ends[0], ends[1], arbiter.Finalizer(work.Bind(args{10}), 0), arbiter.Quorum(2))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(bad); !errors.Is(err, task.ErrFlowFailed) {
			t.Fatal(err)
		}
		st, err := r.arb.Status(t.Context(), bad.ID())
		if err != nil {
			t.Fatal(err)
		}
		got := rows(keys(t, st))
		if len(got) != 5 || got[0] != "task done <nil>" || !strings.HasPrefix(got[1], "group done ") ||
			!slices.Equal(got[2:], []string{"callback done <nil>", "finalize done 9", "finalize done 10"}) || st.Flow.Done != 5 {
			t.Errorf("a group that fails: %v, %d done", got, st.Flow.Done)
		}
		if st.Flow.Callback.State != broker.StateCanceled || st.Flow.Finalizer.ID != bad.Finalizer() || st.Flow.Size != 2 {
			t.Errorf("%+v", st.Flow)
		}

		p, err := r.arb.Pipe(t.Context(), []task.Bound{work.Bind(args{5}), arbiter.Named("add", arbiter.KwArgs(map[string]any{"n": 1}))})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(p); err != nil {
			t.Fatal(err)
		}
		same("a pipe", p.ID(), 2, "task done 5", "task done 6")
		none, err := r.arb.Group(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		same("an empty group", none.ID(), 0)
		st, err = none.Status(t.Context())
		if list, ok := keys(t, st)["tasks"].([]any); !ok || len(list) != 0 || err != nil {
			t.Errorf("the tasks of an empty group: %v, %v", keys(t, st)["tasks"], err)
		}
	})
}

// Results that are too large together are left out. The entries and the whole tell so, and each task has its own result.
func TestFlowStatusIsBounded(t *testing.T) {
	const size = 1 << 20
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(silent)))
		err := task.HandleFunc(m, "blob", func(context.Context, codec.Arguments) (any, error) {
			return strings.Repeat("x", size-100), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(context.Background(), 1) }()
		t.Cleanup(func() { _ = m.Close() })
		calls := make([]task.Bound, 6)
		for i := range calls {
			calls[i] = arbiter.Named("blob")
		}
		g, err := r.arb.Group(t.Context(), calls, arbiter.Finalizer(arbiter.Named("blob"), 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(g); err != nil {
			t.Fatal(err)
		}
		st, err := g.Status(t.Context())
		if err != nil || st.Flow.ResultsOmitted != 3 || st.Flow.Done != 7 || len(st.Flow.Tasks) != 7 {
			t.Fatalf("%d results are left out of %d, %v", st.Flow.ResultsOmitted, len(st.Flow.Tasks), err)
		}
		for i, one := range st.Flow.Tasks {
			v, err := one.Result()
			if i < 4 && (err != nil || len(v.(string)) != size-100 || one.ResultOmitted) || i >= 4 && (!errors.Is(err, arbiter.ErrResultOmitted) || !one.ResultOmitted) {
				t.Errorf("task %d: omitted: %v, %v", i, one.ResultOmitted, err)
			}
			if one.State != broker.StateSucceeded || one.Name != "blob" {
				t.Errorf("task %d: %s of %s", i, one.State, one.Name)
			}
			own, err := r.arb.Status(t.Context(), one.ID)
			if v, bad := own.Result(); err != nil || bad != nil || len(v.(string)) != size-100 {
				t.Errorf("task %d, asked for alone: %v, %v", i, err, bad)
			}
		}
		got := keys(t, st)
		list := got["tasks"].([]any)
		if got["results_omitted"] != 3.0 || list[3].(map[string]any)["result_omitted"] != nil ||
			list[4].(map[string]any)["result_omitted"] != true || list[4].(map[string]any)["result"] != nil || list[6].(map[string]any)["task_type"] != "finalize" {
			t.Error("the JSON does not say what is left out")
		}
	}, memory.Limits(brokerLimits(size)))
}

// reader counts how members are read.
type reader struct {
	*faulty.Broker
	full, brief atomic.Int64 // members that were read with and without outcomes
}

func (b *reader) Members(ctx context.Context, id broker.ID, from, limit int, outcomes bool) ([]broker.Member, error) {
	page, err := b.Broker.Members(ctx, id, from, limit, outcomes)
	if outcomes {
		b.full.Add(int64(len(page)))
	} else {
		b.brief.Add(int64(len(page)))
	}
	return page, err
}

// The status with CountsOnly has the same numbers, reads no results and lists nothing. The full status reads only the
// results that it lists, and the outcome of the member that made the group fail.
func TestCountsOnly(t *testing.T) {
	const members = arbiter.MaxStatusTasks + 500
	bubble(t, func(t *testing.T, r *rig) {
		b := &reader{Broker: r.b}
		arb, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = arb.Close() })
		hold := make(chan struct{})
		r.flowCrew(members, func(_ context.Context, a args) (int, error) {
			if a.N == members-1 {
				<-hold
				return 0, task.NoRetry(errBad)
			}
			return a.N, nil
		})
		calls := make([]task.Bound, members)
		for i := range calls {
			calls[i] = work.Bind(args{i})
		}
		g, err := r.arb.Group(t.Context(), calls, arbiter.Callback(note(1)), arbiter.Finalizer(note(2), 0))
		if err != nil {
			t.Fatal(err)
		}
		same := func(what string, full, brief int64, counts ...int) {
			t.Helper()
			for _, opts := range [][]arbiter.StatusOption{nil, {arbiter.CountsOnly()}} {
				b.full.Store(0)
				b.brief.Store(0)
				st, err := arb.Status(t.Context(), g.ID(), opts...)
				if err != nil {
					t.Fatal(err)
				}
				f := st.Flow
				if got := []int{f.Initiated, f.Running, f.Done, f.Succeeded}; !slices.Equal(got, counts) {
					t.Errorf("%s, %d options: %v, want %v", what, len(opts), got, counts)
				}
				if opts != nil {
					if f.Tasks != nil || b.full.Load() != full || b.brief.Load() != brief || keys(t, st)["tasks"] != nil || keys(t, st)["more"] != nil {
						t.Errorf("%s: %d listed, %d and %d members were read", what, len(f.Tasks), b.full.Load(), b.brief.Load())
					}
				} else if n := b.full.Load(); len(f.Tasks) != arbiter.MaxStatusTasks+2 || n != arbiter.MaxStatusTasks+full || keys(t, st)["more"] != 500.0 {
					t.Errorf("%s: %d listed, of %d members the outcomes were read", what, len(f.Tasks), n)
				}
				if what == "it has failed" && (f.Reason != fmt.Sprintf("%d of %d members had to succeed, and work did not: failed: bad", members, members) || f.Finalizer.State != broker.StateSucceeded) {
					t.Errorf("%s: reason %q", what, f.Reason)
				}
			}
		}
		time.Sleep(time.Minute)
		same("one runs", 0, members, 2, 1, members-1, members-1)
		close(hold)
		if err := r.ended(g); err == nil {
			t.Fatal("it has succeeded")
		}
		same("it has failed", 1, members, 0, 0, members+2, members-1)
		good, err := r.arb.Group(t.Context(), calls[:10])
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ended(good); err != nil {
			t.Fatal(err)
		}
		b.full.Store(0)
		b.brief.Store(0)
		st, err := arb.Status(t.Context(), good.ID(), arbiter.CountsOnly())
		if err != nil || st.Flow.Done != 10 || b.full.Load()+b.brief.Load() != 0 {
			t.Errorf("%+v, %d members were read, %v", st.Flow, b.full.Load()+b.brief.Load(), err)
		}
	})
}
