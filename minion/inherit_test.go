package minion_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// Killing a task also kills the tasks and groups that inherit from it, and those that
// inherit from them. Other tasks that it has sent go on.
func TestInheritedKill(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		heir := work.With(task.Inherit())
		var mu sync.Mutex
		heirs := make(map[task.ID]bool)
		sent := func(id task.ID, heir bool) {
			mu.Lock()
			defer mu.Unlock()
			heirs[id] = heir
		}
		r.family(10, func(ctx context.Context, _ args) (int, error) {
			return 0, obey(ctx)
		}, func(ctx context.Context, a args) (int, error) {
			s := submitter(ctx)
			send := func(call task.Call[int]) {
				fut, err := call.Send(ctx, s)
				if err != nil {
					t.Error(err)
					return
				}
				sent(fut.ID(), call.Request().Settings().Inherit)
			}
			if a.N > 0 {
				send(parent.With(task.Inherit()).Bind(args{a.N - 1}))
				return 0, obey(ctx)
			}
			send(heir.Bind(args{1}))
			send(heir.With(task.Delay(time.Hour)).Bind(args{2}))
			group, err := task.All(work.Bind(args{3}), work.Bind(args{4})).With(task.Inherit()).Send(ctx, s)
			if err != nil {
				t.Error(err)
				return 0, err
			}
			sent(group.ID(), true)
			send(work.Bind(args{5})) // does not inherit
			return 0, obey(ctx)
		})
		fut, err := parent.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if v, err := r.arb.Kill(t.Context(), fut.ID(), arbiter.Wait()); v != arbiter.Stopped || err != nil {
			t.Fatalf("kill: %v, %v", v, err)
		}
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(heirs) != 5 {
			t.Errorf("%d calls were sent", len(heirs))
		}
		for id, heir := range heirs {
			if st := r.status(id); (st.State == broker.StateCanceled) != heir {
				t.Errorf("an inheriting call %v has status %+v", heir, st)
			}
			if !heir {
				_, _ = r.arb.Kill(t.Context(), id, arbiter.Wait())
			}
		}
	})
}

func TestInheritedDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.family(3, func(ctx context.Context, _ args) (int, error) {
			return 0, obey(ctx)
		}, func(ctx context.Context, _ args) (int, error) {
			fut, err := work.With(task.Inherit()).Apply(ctx, submitter(ctx), args{1})
			if err != nil {
				return 0, err
			}
			_, err = fut.Result(context.WithoutCancel(ctx))
			if !errors.Is(err, task.ErrExpired) {
				t.Errorf("the inheriting call: %v", err)
			}
			return 0, obey(ctx)
		})
		began := time.Now()
		fut, err := parent.With(task.Within(5*time.Second)).Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.result(fut); !errors.Is(err, task.ErrExpired) {
			t.Errorf("error %v", err)
		}
		r.near("the end", time.Since(began), 5*time.Second)
	})
}
