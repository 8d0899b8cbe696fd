package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The results of members can be read for as long as their group is kept, by any arbiter and any number of times, also if the
// tasks themselves do not keep them.
func TestResultsAreTakenFromTheGroup(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		arb, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		other, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		m := must(minion.New(b, minion.Logger(silent), minion.DrainTimeout(0)))
		finish := make(chan struct{})
		err = task.Handle(m, work, func(ctx context.Context, a args) (int, error) {
			switch a.N {
			case 3:
				return 0, task.NoRetry(errBad)
			case 4:
				select {
				case <-finish:
				case <-ctx.Done():
				}
			}
			return 10 * a.N, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(context.Background(), 2) }()
		defer func() { _ = m.Close() }()

		calls := make([]task.Call[int], 5)
		for i := range calls {
			calls[i] = work.With(task.Retention(0), task.DeadRetention(0)).Bind(args{i})
		}
		g, err := arbiter.GroupOf(t.Context(), arb, calls, arbiter.Collect())
		if err != nil {
			t.Fatal(err)
		}
		check := func(who string, g *arbiter.GroupFuture[int]) {
			t.Helper()
			got, err := g.Results(t.Context())
			var remote *task.RemoteError
			if !slices.Equal(got, []int{0, 10, 20, 0, 40}) || !errors.As(err, &remote) || errors.Is(err, task.ErrNotFound) {
				t.Errorf("%s: %v, %v", who, got, err)
			}
			seen := 0
			for st, err := range g.WaitForMembers(t.Context()) {
				if seen++; err != nil || st.State != broker.StateSucceeded && st.State != broker.StateFailed {
					t.Errorf("%s: %+v, %v", who, st, err)
				}
			}
			if seen != len(calls) {
				t.Errorf("%s: %d of %d members", who, seen, len(calls))
			}
		}
		found, err := other.FindGroup(t.Context(), g.ID())
		if err != nil {
			t.Fatal(err)
		}
		foreign := &arbiter.GroupFuture[int]{Group: found}
		begun := make(chan struct{}, 1)
		go func() {
			<-begun
			close(finish)
		}()
		n := 0
		for st, err := range foreign.WaitForMembers(t.Context()) { // some members are done, and one is not
			if err != nil {
				t.Errorf("%+v, %v", st, err)
			}
			if n++; n == len(calls)-1 {
				begun <- struct{}{}
			}
		}
		if n != len(calls) {
			t.Errorf("%d of %d members while one runs", n, len(calls))
		}
		check("another arbiter", foreign)
		check("its own", g)
		check("its own, which has given the results away", g)
	})
}

// The same for more results than an arbiter keeps, which is 64 MiB or 100,000 of them.
func TestResultsBeyondWhatIsKept(t *testing.T) {
	n, size := 140, 1<<19
	if testform.Long() {
		n, size = 100_100, 1
	}
	big := task.Define[args, []byte]("big")
	bubble(t, func(t *testing.T, r *rig) {
		m, _ := r.newFlowCrew(nil)
		result := make([]byte, size)
		if err := task.Handle(m, big, func(context.Context, args) ([]byte, error) { return result, nil }); err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(context.Background(), 10) }()
		defer func() { _ = m.Close() }()
		calls := make([]task.Call[[]byte], n)
		for i := range calls {
			calls[i] = big.With(task.Retention(0)).Bind(args{i})
		}
		g, err := arbiter.GroupOf(t.Context(), r.arb, calls, arbiter.Finalizer(note(1), 0))
		if err != nil {
			t.Fatal(err)
		}
		_ = g.Result(t.Context(), nil) // by now all results were pushed
		got, err := g.Results(t.Context())
		if err != nil || len(got) != n {
			t.Fatalf("%d results, %v", len(got), err)
		}
		for i, v := range got {
			if len(v) != size {
				t.Fatalf("result %d has %d bytes", i, len(v))
			}
		}
	})
}

// Wait waits for a member that the group has not counted yet. If the group never counts it, the error after a minute is
// ErrNotFound.
func TestMembersThatAreNotCounted(t *testing.T) {
	for _, counted := range []bool{true, false} {
		t.Run(fmt.Sprint(counted), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				arrive := errors.New("no arrival")
				r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, n int) error {
					if op == faulty.Arrive && n > 0 {
						return errors.Join(broker.ErrUnavailable, arrive)
					}
					return nil
				}})
				r.flowCrew(2, func(_ context.Context, a args) (int, error) { return a.N, nil })
				calls := []task.Call[int]{work.With(task.Retention(0)).Bind(args{1}), work.With(task.Retention(0)).Bind(args{2})}
				g, err := arbiter.GroupOf(t.Context(), r.arb, calls)
				if err != nil {
					t.Fatal(err)
				}
				found, err := r.arbiter().FindGroup(t.Context(), g.ID())
				if err != nil {
					t.Fatal(err)
				}
				if counted {
					time.AfterFunc(20*time.Second, func() { r.b.Set(faulty.Hooks{}) })
				}
				time.Sleep(time.Second)
				begun := time.Now()
				got, err := (&arbiter.GroupFuture[int]{Group: found}).Results(t.Context())
				took := time.Since(begun)
				switch {
				case counted && (err != nil || !slices.Equal(got, []int{1, 2}) || took > time.Minute):
					t.Errorf("%v, %v after %v", got, err, took)
				case !counted && (!errors.Is(err, task.ErrNotFound) || took < 30*time.Second || took > 2*time.Minute):
					t.Errorf("%v, %v after %v", got, err, took)
				}
			})
		})
	}
}
