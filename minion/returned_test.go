package minion_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// A goroutine of the handler sends for the first time after the attempt has returned. Calls
// that depend on the end of the attempt are refused, however it ended; other calls are
// sent.
func TestSendAfterReturn(t *testing.T) {
	ends := map[string]func(ctx context.Context) (int, error){
		"succeeded":   func(context.Context) (int, error) { return 0, nil },
		"failed":      func(context.Context) (int, error) { return 0, task.NoRetry(errBad) },
		"retried":     func(context.Context) (int, error) { return 0, errBad },
		"snoozed":     func(context.Context) (int, error) { return 0, task.Snooze(time.Hour) },
		"panicked":    func(context.Context) (int, error) { panic("at the end") },
		"was killed":  func(ctx context.Context) (int, error) { return 0, obey(ctx) },
		"sent before": nil,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				left := make(chan context.Context, 1)
				var once sync.Once
				r.family(1, func(_ context.Context, a args) (int, error) { return a.N, nil }, func(ctx context.Context, _ args) (int, error) {
					once.Do(func() { left <- ctx })
					if end != nil {
						return end(ctx)
					}
					if _, err := work.Apply(ctx, task.OnSuccess(ctx), args{5}); err != nil {
						t.Error(err)
					}
					return 0, nil
				})
				fut, err := parent.Apply(t.Context(), r.arb, args{1})
				if err != nil {
					t.Fatal(err)
				}
				ctx := <-left
				if name == "was killed" {
					if _, err := r.arb.Kill(t.Context(), fut.ID(), arbiter.Wait()); err != nil {
						t.Fatal(err)
					}
				}
				settled() // the attempt has returned
				lone := context.WithoutCancel(ctx)
				if _, err := work.Apply(lone, task.OnSuccess(ctx), args{2}); !errors.Is(err, task.ErrInvalid) {
					t.Errorf("on success: %v", err)
				}
				heir := work.With(task.Inherit())
				if _, err := heir.Apply(lone, submitter(ctx), args{3}); !errors.Is(err, task.ErrInvalid) {
					t.Errorf("a call that inherits: %v", err)
				}
				if _, err := task.All(work.Bind(args{3})).With(task.Inherit()).Send(lone, submitter(ctx)); !errors.Is(err, task.ErrInvalid) {
					t.Errorf("a group that inherits: %v", err)
				}
				plain, err := work.Apply(lone, submitter(ctx), args{4})
				if err != nil {
					t.Fatal(err)
				}
				if n, err := plain.Result(t.Context()); n != 4 || err != nil {
					t.Errorf("the call that was sent at once: %d, %v", n, err)
				}
			})
		})
	}
}

// A call that inherits is either recorded, to be killed with the task, or refused. It is
// never sent without the record.
func TestTooManyHeirs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.family(1, func(context.Context, args) (int, error) { return 0, nil }, func(ctx context.Context, _ args) (int, error) {
			heir := work.With(task.Inherit(), task.Delay(time.Hour))
			calls := make([]task.Bound, 10_000)
			for i := range calls {
				calls[i] = heir.Bind(args{i})
			}
			if err := submitter(ctx).Submit(ctx, calls...); err != nil {
				return 0, err
			}
			if err := submitter(ctx).Submit(ctx, calls[:10]...); err != nil { // the same calls again
				return 0, err
			}
			_, err := heir.Apply(ctx, submitter(ctx), args{10_000})
			if !errors.Is(err, task.ErrTooLarge) {
				t.Errorf("one too many: %v", err)
			}
			return 0, nil
		})
		fut, err := parent.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.result(fut); err != nil {
			t.Fatal(err)
		}
	})
}
