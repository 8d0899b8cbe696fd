package minion_test

import (
	"context"
	"errors"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// Middleware that returns before its handler does ends the attempt. The handler's later
// result is discarded.
func TestMiddlewareReturnsEarly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		begun := make(chan struct{})
		over := make(chan struct{})
		late := make(chan error, 2)
		early := func(next minion.Handler) minion.Handler {
			return func(ctx context.Context) error {
				go func() {
					late <- next(ctx)
					<-over
					late <- next(ctx)
				}()
				<-begun
				return nil
			}
		}
		runs := 0
		r.crew(1, func(_ context.Context, a args) (int, error) {
			runs++
			close(begun)
			<-over
			return a.N, nil
		}, minion.Use(early))
		fut := r.send(7)
		n, err := r.result(fut)
		var bad *codec.Error
		if n != 0 || !errors.As(err, &bad) {
			t.Errorf("the result is %d, %v, want the error of a task that returned nothing", n, err)
		}
		close(over)
		if err := <-late; err != nil {
			t.Error(err)
		}
		if err := <-late; !errors.Is(err, broker.ErrInvalid) || runs != 1 {
			t.Errorf("a call after the middleware has returned: error %v, %d runs", err, runs)
		}
	})
}

// If a handler returns at the same time as its middleware, the task has its result or none,
// without a data race.
func TestMiddlewareReturnsMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		begun := make(chan struct{})
		early := func(next minion.Handler) minion.Handler {
			return func(ctx context.Context) error {
				go func() { _ = next(ctx) }()
				<-begun
				return nil
			}
		}
		r.crew(1, func(_ context.Context, a args) (int, error) {
			begun <- struct{}{}
			return a.N, nil
		}, minion.Use(early))
		for range 20 {
			n, err := r.result(r.send(7))
			var bad *codec.Error
			if (n != 7 || err != nil) && (n != 0 || !errors.As(err, &bad)) {
				t.Errorf("result: %v, %v", n, err)
			}
		}
	})
}

// Concurrent calls of the handler are not allowed. They give a wrong result, but no data
// race.
func TestMiddlewareCallsTwiceAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		twice := func(next minion.Handler) minion.Handler {
			return func(ctx context.Context) error {
				other := make(chan error)
				go func() { other <- next(ctx) }()
				return errors.Join(next(ctx), <-other)
			}
		}
		r.crew(1, func(ctx context.Context, a args) (int, error) {
			_, _ = plain.Apply(ctx, task.OnSuccess(ctx), a)
			return a.N, nil
		}, minion.Use(twice))
		if n, err := r.result(r.send(7)); n != 7 || err != nil {
			t.Errorf("result: %v, %v", n, err)
		}
	})
}
