package arbiter_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The result of a task without a result is an error for a caller that wants a value, and not a zero value. It is no error
// for handles whose result type is None or any.
func TestResultOfNothing(t *testing.T) {
	check := func(t *testing.T, what string, err error) {
		t.Helper()
		var bad *codec.Error
		if !errors.As(err, &bad) || !errors.Is(err, codec.ErrType) || !strings.Contains(err.Error(), "returned nothing") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	onEach(t, func(t *testing.T, b broker.Broker) {
		m := must(minion.New(b, minion.Logger(silent), minion.DrainTimeout(0)))
		quiet := task.Define[args, task.None]("quiet")
		if err := task.Handle(m, quiet, func(context.Context, args) (task.None, error) { return task.None{}, nil }); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- m.Run(context.Background(), 1) }()
		defer func() {
			_ = m.Close()
			if err := <-done; err != nil && !errors.Is(err, task.ErrClosed) {
				t.Error(err)
			}
		}()
		arb := client(t, b)
		fut, err := quiet.Apply(t.Context(), arb, args{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fut.Result(t.Context()); err != nil {
			t.Error(err)
		}
		_, err = task.Define[args, int]("quiet").Call(t.Context(), arb, args{})
		check(t, "an int", err)
		_, err = task.Define[args, struct{ A int }]("quiet").Call(t.Context(), arb, args{})
		check(t, "a struct", err)
		_, err = task.Define[args, *int]("quiet").Call(t.Context(), arb, args{})
		check(t, "a pointer", err)
		_, err = task.Define[args, []int]("quiet").Call(t.Context(), arb, args{})
		check(t, "a slice", err)
		if v, err := task.Define[args, any]("quiet").Call(t.Context(), arb, args{}); v != nil || err != nil {
			t.Error(v, err)
		}

		for _, other := range []bool{false, true} { // the arbiter that sent it, and another one
			asks := arb
			if other {
				asks = client(t, b)
			}
			st, err := asks.Status(t.Context(), fut.ID())
			if err != nil {
				t.Fatal(err)
			}
			var some int
			check(t, "the status, an int", st.Decode(&some))
			if v, err := st.Result(); v != nil || err != nil {
				t.Error(v, err)
			}
			var nothing task.None
			if err := st.Decode(&nothing); err != nil {
				t.Error(err)
			}
			_, err = task.NewFuture[int](asks, fut.ID()).Result(t.Context())
			check(t, "a future of an int", err)
		}
	})
}
