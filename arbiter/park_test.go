package arbiter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// Two builds serve one queue, and the old one starts first. All tasks that only the new build knows succeed, none becomes a
// dead letter, and the old build's other tasks are not delayed.
func TestTwoBuilds(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		n := testform.Pick(200, 10_000)
		if strings.HasSuffix(t.Name(), "/miniredis") { // which is slow with many parked tasks
			n = 200
		}
		arb, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		served(t, b, "default", func(_ context.Context, a args) (int, error) { return a.N, nil })
		fresh := task.Define[args, int]("fresh")
		calls := make([]task.Call[int], n)
		for i := range calls {
			calls[i] = fresh.Bind(args{i})
		}
		futs, err := task.SendAll(t.Context(), arb, calls...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if got, err := work.Call(t.Context(), arb, args{i}); got != i || err != nil {
				t.Fatalf("the old one's work: %d, %v", got, err)
			}
		}
		queue := func() broker.QueueInfo {
			t.Helper()
			infos, err := b.(broker.Inspector).Queues(t.Context())
			if err != nil || len(infos) != 1 {
				t.Fatal(infos, err)
			}
			return infos[0]
		}
		for queue().Parked < n { // until the old build has parked all of them
			time.Sleep(time.Millisecond)
		}
		m := must(minion.New(b, minion.Logger(silent), minion.DrainTimeout(0)))
		for _, one := range []task.Task[args, int]{work, fresh} {
			if err := task.Handle(m, one, func(_ context.Context, a args) (int, error) { return a.N, nil }); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- m.Run(context.Background(), 4) }()
		defer func() {
			_ = m.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		for i, fut := range futs {
			if got, err := fut.Result(t.Context()); got != i || err != nil {
				t.Fatalf("task %d: %d, %v", i, got, err)
			}
		}
		if q := queue(); q.Parked != 0 || q.Dead != 0 {
			t.Errorf("%+v", q)
		}
	})
}

// The error of a wait says that no minion can run a parked task, and so does its status.
func TestStuckParked(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		arb, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		served(t, b, "default", func(_ context.Context, a args) (int, error) { return a.N, nil })
		fut, err := task.Define[args, int]("wirk").Apply(t.Context(), arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		for {
			st, err := arb.Status(t.Context(), fut.ID())
			if err != nil {
				t.Fatal(err)
			}
			if st.State == broker.StateParked && st.Phase() == broker.PhaseInitiated && !st.Due.IsZero() {
				break
			}
			time.Sleep(time.Millisecond)
		}
		err = toldWait(t, func(err error) bool { return strings.Contains(err.Error(), "it is parked until ") }, func(ctx context.Context) error {
			_, err := fut.Result(ctx)
			return err
		})
		if !errors.Is(err, task.ErrNoMinion) || !strings.Contains(err.Error(), "it is parked until ") ||
			!strings.HasSuffix(err.Error(), `none of whose 1 living minions knows the task (tasks known: work)`) {
			t.Error(err)
		}
	})
}

// A squad whose tasks only the new build knows does not ask minions of the old build for slots.
func TestSquadOfTwoBuilds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		fresh := task.Define[args, int]("fresh")
		r.crew(9, echo)
		_, err := r.arb.Squad(t.Context(), task.Calls(fresh.Bind(args{1})))
		if !errors.Is(err, task.ErrNotEnoughWorkers) || !strings.Contains(err.Error(), "knows its tasks") {
			t.Error(err)
		}
		m := must(minion.New(r.b, minion.Logger(silent), minion.DrainTimeout(0)))
		if err := task.Handle(m, fresh, echo); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- m.Run(context.Background(), 2) }()
		defer func() {
			_ = m.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		squad, err := arbiter.SquadOf(t.Context(), r.arb, []task.Call[int]{fresh.Bind(args{1}), fresh.Bind(args{2})}, arbiter.WaitForWorkers(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := squad.Results(t.Context()); len(got) != 2 || err != nil {
			t.Error(got, err)
		}
	})
}
