package arbiter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

func TestThen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(3, echo)
		began := time.Now()
		n, err := run(r, task.Then(task.Then(work.Bind(args{1}), plus(10)), plus(100)))
		if n != 111 || err != nil {
			t.Errorf("the pipe gives %d, %v", n, err)
		}
		if j.count("add") != 2 {
			t.Errorf("%d steps ran", j.count("add"))
		}
		r.near("the pipe", began, 0, 100*time.Millisecond)
	})
}

func TestThenFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(3, moody)
		_, err := run(r, task.Then(task.Then(work.Bind(args{0}), plus(10)), plus(100)))
		var remote *task.RemoteError
		if !errors.As(err, &remote) || !errors.Is(err, task.ErrFlowFailed) || !strings.Contains(err.Error(), "member 0 (work) failed: bad") {
			t.Errorf("error %v", err)
		}
		_, err = run(r, task.Then(task.Then(work.Bind(args{1}), plus(-1)), plus(100)))
		if !errors.Is(err, task.ErrFlowFailed) || !strings.Contains(err.Error(), "member 1 (add) failed: bad") {
			t.Errorf("error %v", err)
		}
		if j.count("add") != 1 {
			t.Errorf("%d steps ran, want 1", j.count("add"))
		}
	})
}

func TestAll(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(3, slow)
		got, err := run(r, task.All(work.Bind(args{3}), work.Bind(args{1}), work.Bind(args{2})))
		if len(got) != 3 || got[0] != 3 || got[1] != 1 || got[2] != 2 || err != nil {
			t.Errorf("%v, %v", got, err)
		}
		n, err := run(r, task.Then(task.All(work.Bind(args{3}), work.Bind(args{1})), sumStep()))
		if n != 4 || err != nil || j.count("sum") != 1 {
			t.Errorf("the sum is %d, %v", n, err)
		}
	})
}

// By default the first failure ends the group.
func TestAllFailsFast(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, func(ctx context.Context, a args) (int, error) {
			if a.N == 0 {
				return 0, task.NoRetry(errBad)
			}
			return slow(ctx, a)
		})
		began := time.Now()
		_, err := run(r, task.Then(task.All(work.Bind(args{1000}), work.Bind(args{0}), work.Bind(args{1000})), sumStep()))
		if !errors.Is(err, task.ErrFlowFailed) || !strings.Contains(err.Error(), "member 1 (work) failed: bad") {
			t.Errorf("error %v", err)
		}
		r.near("the end", began, 0, 5*time.Second)
		if j.count("sum") != 0 {
			t.Error("the callback ran")
		}
	})
}

func TestCollectAndQuorum(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(2, moody)
		got, err := run(r, task.Collect(work.Bind(args{0}), work.Bind(args{7}), work.Bind(args{0})))
		if err != nil || len(got) != 3 || got[0] != nil || *got[1] != 7 || got[2] != nil {
			t.Errorf("%v, %v", got, err)
		}
		got, err = run(r, task.Collect(work.Bind(args{0})))
		if err != nil || len(got) != 1 || got[0] != nil {
			t.Errorf("all failed: %v, %v", got, err)
		}
		n, err := run(r, task.Then(task.Quorum(2, work.Bind(args{0}), work.Bind(args{7}), work.Bind(args{8})), countStep()))
		if n != 2 || err != nil {
			t.Errorf("two of three: %d, %v", n, err)
		}
		_, err = run(r, task.Quorum(2, work.Bind(args{0}), work.Bind(args{7}), work.Bind(args{0})))
		if !errors.Is(err, task.ErrFlowFailed) {
			t.Errorf("one of three: %v", err)
		}
	})
}

func TestForkAndChain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(3, echo)
		call := task.Then(work.Bind(args{1}), task.Fork(plus(10), task.Chain(plus(100), plus(200)), plus(1000)))
		got, err := run(r, call)
		if err != nil || len(got) != 3 || got[0] != 11 || got[1] != 301 || got[2] != 1001 {
			t.Errorf("%v, %v", got, err)
		}
		n, err := run(r, task.Then(call, sumStep()))
		if err != nil || n != 11+301+1001 {
			t.Errorf("%d, %v", n, err)
		}
		n, err = run(r, task.Chain(plus(1), plus(2)).Bind(3))
		if err != nil || n != 6 {
			t.Errorf("a bound chain: %d, %v", n, err)
		}
		got, err = run(r, task.Fork(plus(1), plus(2)).Bind(3))
		if err != nil || len(got) != 2 || got[0] != 4 || got[1] != 5 {
			t.Errorf("a bound fork: %v, %v", got, err)
		}
	})
}

// Many pipes and tasks in one submission. Calls that are wrong fail alone.
func TestSendManyFlows(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(20, echo)
		var calls []task.Call[int]
		for i := range 100 {
			calls = append(calls, work.Bind(args{i}), task.Then(work.Bind(args{i}), plus(1)))
		}
		calls = append(calls, task.Call[int]{}, task.Then(task.Call[int]{}, plus(1)))
		futs, err := task.SendAll(t.Context(), r.arb, calls...)
		var sub *task.SubmitError
		if !errors.As(err, &sub) || len(sub.Failed) != 2 || sub.Failed[0].Index != 200 || sub.Failed[1].Index != 201 || !errors.Is(err, task.ErrInvalid) {
			t.Fatalf("error %v", err)
		}
		for i, fut := range futs[:200] {
			if n, err := await(t, fut); n != i/2+i%2 || err != nil {
				t.Errorf("call %d gives %d, %v", i, n, err)
			}
		}
		if futs[200] != nil || futs[201] != nil {
			t.Error("refused calls have futures")
		}
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.OpenFlow {
				return faulty.ErrUnavailable
			}
			return nil
		}})
		began := time.Now()
		for i := range calls {
			calls[i] = task.Then(work.Bind(args{i}), plus(1))
		}
		if _, err := task.SendAll(t.Context(), r.arb, calls...); !errors.As(err, &sub) || len(sub.Failed) != len(calls) || !errors.Is(err, task.ErrUnavailable) {
			t.Errorf("without a broker: %v", err)
		}
		r.near("the error", began, 5*time.Second, 2*time.Second)
	})
}
