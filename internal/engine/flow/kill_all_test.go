package flow_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// A task or flow that can't be killed keeps no others from being killed, and the error has each
// cause.
func TestKillAllGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, false)
		defer w.close()
		const n = 2*broker.MaxBatch + 5
		var ids, flows []broker.ID
		later := work.With(task.Delay(time.Hour))
		for i := range 3 {
			flows = append(flows, w.send(group(request.GroupSettings{Quorum: 1}, later.Bind(numArgs{i}))))
		}
		calls := make([]task.Bound, n)
		for i := range calls {
			calls[i] = num(i)
		}
		if err := w.c.Submit(t.Context(), calls...); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, flows...)
		for _, call := range calls {
			ids = append(ids, call.Request().ID())
		}

		errMark, errCancel := errors.New("no mark"), errors.New("no cancel")
		marked, canceled := false, false
		w.bad.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, n int) error {
			switch {
			case op == faulty.MarkFlow && !marked:
				marked = true
				return errMark
			case op == faulty.Cancel && n == broker.MaxBatch && !canceled:
				canceled = true
				return errCancel
			}
			return nil
		}})
		err := w.driver.KillAll(t.Context(), ids)
		if !errors.Is(err, errMark) || !errors.Is(err, errCancel) {
			t.Errorf("kill: %v", err)
		}
		for i, id := range flows {
			p, err := w.b.(broker.Flows).LookupFlow(t.Context(), id)
			if err != nil || (p.Outcome != nil) != (i > 0) {
				t.Errorf("flow %d: %+v, %v", i, p, err)
			}
		}
		found, err := w.b.Lookup(t.Context(), ids[len(flows):])
		if err != nil {
			t.Fatal(err)
		}
		for i, st := range found {
			if want := i >= broker.MaxBatch; (st.State == broker.StateCanceled) != want {
				t.Fatalf("task %d is %s; canceled: want %v", i, st.State, want)
			}
		}

		w.bad.Set(faulty.Hooks{})
		if err := w.driver.KillAll(t.Context(), ids); err != nil {
			t.Error(err)
		}
		if n := w.run(); n != 0 {
			t.Errorf("%d tasks are left", n)
		}

		// KillAll stops when ctx has ended.
		ctx, cancel := context.WithCancel(t.Context())
		before := w.bad.Total()
		w.bad.Set(faulty.Hooks{Before: func(context.Context, faulty.Op, int) error {
			cancel()
			return ctx.Err()
		}})
		if err := w.driver.KillAll(ctx, ids); !errors.Is(err, context.Canceled) {
			t.Errorf("kill: %v", err)
		}
		if n := w.bad.Total() - before; n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}
