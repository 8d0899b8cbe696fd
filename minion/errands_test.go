package minion_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

type lists struct {
	N []int `arbiter:"n"`
}

var length = task.Define[lists, int]("length")

// A minion that stops still moves on what it has settled: another one need not
// wait for its heartbeat to find it.
func TestStopMovesFlowsOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var c *crew
		c = r.crew(2, func(context.Context, args) (int, error) {
			time.Sleep(time.Second) // until the other one runs, too
			c.halt()
			time.Sleep(time.Second)
			return 1, nil
		})
		call := task.Then(task.All(work.Bind(args{1}), work.Bind(args{2})), task.NewStep[[]int](length, "n", nil))
		fut, err := call.Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		<-c.done
		if c.err != nil {
			t.Error(c.err)
		}
		if r.b.Calls(faulty.Release) == 0 {
			t.Error("the callback was not released before the minion stopped")
		}
		began := time.Now()
		m := minion.New(r.b, minion.Logger(r.logs.logger()))
		if err := task.Handle(m, length, func(_ context.Context, a lists) (int, error) { return len(a.N), nil }); err != nil {
			t.Fatal(err)
		}
		r.start(m, 1)
		if n, err := r.result(fut); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		r.near("the callback", time.Since(began), 0)
	})
}

// A broker that is out of reach while flows are moved on costs a pause, and
// nothing is lost.
func TestErrandsAreTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		failures := 0
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if (op == faulty.Arrivals || op == faulty.Arrive || op == faulty.Release) && failures < 9 {
				failures++
				return faulty.ErrUnavailable
			}
			return nil
		}})
		r.crew(2, func(_ context.Context, a args) (int, error) { return a.N, nil })
		fut, err := task.Then(work.Bind(args{1}), task.NewStep[int](work, "n", nil)).Send(t.Context(), r.arb)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.result(fut); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if failures != 9 || r.logs.count("broker is back") == 0 {
			t.Errorf("%d failures, log %s", failures, r.logs)
		}
	})
}
