package arbiter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// Calls that are sent together are due at equal distances, on each broker.
func TestSpread(t *testing.T) {
	onBrokers(t, func(t *testing.T, _ broker.Broker, arb *arbiter.Arbiter) {
		const n, d = 12, 6 * time.Hour
		due := func(id task.ID) time.Time {
			st, err := arb.Status(t.Context(), id)
			if err != nil || st.Due.IsZero() {
				t.Fatalf("status %+v, %v", st, err)
			}
			return st.Due
		}
		spread := work.With(task.Spread(d), task.Delay(time.Hour))
		calls := make([]task.Call[int], n)
		for i := range calls {
			calls[i] = spread.Bind(args{i})
		}
		began := time.Now()
		futs, err := task.SendAll(t.Context(), arb, calls...)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := arb.Apply(t.Context(), "work", arbiter.Args(1), arbiter.Count(n), arbiter.Options(task.Spread(d), task.Delay(time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began) + 10*time.Millisecond // some brokers round times
		for i := range n {
			for _, list := range [][]task.ID{{futs[0].ID(), futs[i].ID()}, {ids[0], ids[i]}} {
				want := time.Duration(i) * d / n
				if got := due(list[1]).Sub(due(list[0])); (got - want).Abs() > took {
					t.Errorf("call %d is due %v after the first one, want %v", i, got, want)
				}
			}
		}
		first := due(futs[0].ID())
		if again, err := calls[5].Send(t.Context(), arb); err != nil || (due(again.ID()).Sub(first)-5*d/n).Abs() > took {
			t.Errorf("a repeat: %v", err)
		}
		if _, err := arb.KeyHolder(t.Context(), spread.With(task.Unique("k")).Bind(args{1})); err != nil {
			t.Errorf("the holder of the key of a call with Spread: %v", err)
		}
	})
}

// Spread is refused where it has no effect, with an error that names it.
func TestSpreadRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, call := t.Context(), work.With(task.Spread(time.Minute)).Bind(args{1})
		plain := work.Bind(args{2})
		for what, send := range map[string]func() error{
			"Send":            func() error { _, err := call.Send(ctx, r.arb); return err },
			"Apply":           func() error { _, err := work.With(task.Spread(1)).Apply(ctx, r.arb, args{1}); return err },
			"Call":            func() error { _, err := work.With(task.Spread(1)).Call(ctx, r.arb, args{1}); return err },
			"a member":        func() error { _, err := task.Collect(call, plain).Send(ctx, r.arb); return err },
			"a whole group":   func() error { return r.arb.Submit(ctx, task.Collect(plain, plain).With(task.Spread(time.Minute))) },
			"a step":          func() error { return r.arb.Submit(ctx, task.Then(task.Collect(call), countStep())) },
			"Group":           func() error { _, err := r.arb.Group(ctx, []task.Bound{call, plain}); return err },
			"a squad":         func() error { _, err := r.arb.Squad(ctx, []task.Bound{call, plain}); return err },
			"a callback":      func() error { _, err := r.arb.Group(ctx, []task.Bound{plain}, arbiter.Callback(call)); return err },
			"a negative time": func() error { return r.arb.Submit(ctx, work.With(task.Spread(-1)).Bind(args{1}), plain) },
			"a time too long": func() error {
				return r.arb.Submit(ctx, work.With(task.Spread(broker.MaxDuration+1)).Bind(args{1}), plain)
			},
			"in all too long": func() error {
				return r.arb.Submit(ctx, plain.With(task.Spread(broker.MaxDuration)), plain.With(task.Spread(broker.MaxDuration), task.Delay(broker.MaxDuration)))
			},
			"a registration": func() error {
				return task.HandleFunc(must(minion.New(r.b)), "t", func(context.Context, codec.Arguments) (any, error) { return nil, nil }, task.Spread(1))
			},
		} {
			if err := send(); !errors.Is(err, task.ErrInvalid) || what != "in all too long" && !strings.Contains(err.Error(), "Spread") {
				t.Errorf("%s: %v", what, err)
			}
		}
		// A submission of several calls may happen to have only one.
		if _, err := task.SendAll(ctx, r.arb, call); err != nil {
			t.Error(err)
		}
	})
}
