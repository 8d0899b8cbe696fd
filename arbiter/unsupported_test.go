package arbiter_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/plain"
	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// Every call that needs a capability which the broker lacks is refused with the same kind of error. All other calls work.
func TestUnsupported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := plain.Broker{Broker: memory.New()}
		defer func() { _ = b.Close() }()
		arb, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		ctx := t.Context()
		group, pipe := broker.NewID(broker.KindGroup, "", 0), broker.NewID(broker.KindPipe, "", 0)
		calls := task.Calls(works(1, 2)...)
		for name, want := range map[string]struct {
			capability string
			use        func() error
		}{
			"Group":                  {"Flows", func() error { _, err := arb.Group(ctx, calls); return err }},
			"Pipe":                   {"Flows", func() error { _, err := arb.Pipe(ctx, calls); return err }},
			"Squad":                  {"Squads", func() error { _, err := arb.Squad(ctx, calls); return err }},
			"task.Priority":          {"Lanes", func() error { _, err := work.With(task.Priority(7)).Apply(ctx, arb, args{1}); return err }},
			"task.FairKey":           {"Lanes", func() error { _, err := work.With(task.FairKey("k")).Apply(ctx, arb, args{1}); return err }},
			"task.Sequence":          {"Lanes", func() error { _, err := work.With(task.Sequence("k")).Apply(ctx, arb, args{1}); return err }},
			"task.Limit":             {"Lanes", func() error { _, err := work.With(task.Limit("mail")).Apply(ctx, arb, args{1}); return err }},
			"Arbiter.SetLimit":       {"Lanes", func() error { return arb.SetLimit(ctx, "q", limit.Concurrency("x", 1)) }},
			"Arbiter.RemoveLimit":    {"Lanes", func() error { return arb.RemoveLimit(ctx, "q", "x", "") }},
			"Arbiter.Limits":         {"Lanes", func() error { _, err := arb.Limits(ctx, "q"); return err }},
			"Arbiter.DeclareLimits":  {"Lanes", func() error { return arb.DeclareLimits(ctx, "q", limit.Concurrency("x", 1)) }},
			"Arbiter.CloseLimit":     {"Lanes", func() error { return arb.CloseLimit(ctx, "q", "x", "", time.Second) }},
			"Arbiter.SetWeight":      {"Lanes", func() error { return arb.SetWeight(ctx, "q", "k", 2) }},
			"Arbiter.Weights":        {"Lanes", func() error { _, err := arb.Weights(ctx, "q"); return err }},
			"Arbiter.ResumeSequence": {"Lanes", func() error { return arb.ResumeSequence(ctx, "q", "s") }},
			"Arbiter.SetMaxWaiting":  {"Bounder", func() error { return arb.SetMaxWaiting(ctx, "q", 1) }},
			"Arbiter.MaxWaiting":     {"Bounder", func() error { _, _, err := arb.MaxWaiting(ctx, "q"); return err }},
			"Arbiter.PauseQueue":     {"Pauser", func() error { return arb.PauseQueue(ctx, "q") }},
			"Arbiter.ResumeQueue":    {"Pauser", func() error { return arb.ResumeQueue(ctx, "q") }},
			"Arbiter.PauseTask":      {"Pauser", func() error { return arb.PauseTask(ctx, "q", "t") }},
			"Arbiter.ResumeTask":     {"Pauser", func() error { return arb.ResumeTask(ctx, "q", "t") }},
			"Arbiter.PauseKey":       {"Pauser", func() error { return arb.PauseKey(ctx, "q", "k") }},
			"Arbiter.ResumeKey":      {"Pauser", func() error { return arb.ResumeKey(ctx, "q", "k") }},
			"Arbiter.Signal":         {"Steps", func() error { return arb.Signal(ctx, broker.NewTaskID("q", ""), "s", 1) }},
			"Arbiter.Fork":           {"Steps", func() error { return arb.Fork(ctx, broker.NewTaskID("q", ""), "s") }},
			"Arbiter.Pauses":         {"Pauser", func() error { _, err := arb.Pauses(ctx, "q"); return err }},
			"minion.Limits": {"Lanes", func() error {
				_, err := minion.New(b, minion.Limits("default", limit.Concurrency("x", 1)))
				return err
			}},
			"FindGroup": {"Flows", func() error { _, err := arb.FindGroup(ctx, group); return err }},
			"Kill":      {"Flows", func() error { _, err := arb.Kill(ctx, pipe); return err }},
			"KillGroup": {"Flows", func() error { _, err := arb.KillGroup(ctx, group); return err }},
			"Status":    {"Flows", func() error { _, err := arb.Status(ctx, group); return err }},
		} {
			err := want.use()
			var lacks *task.UnsupportedError
			if !errors.Is(err, task.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &lacks) {
				t.Errorf("%s: error is %v, want an *UnsupportedError", name, err)
				continue
			}
			if strings.Contains(name, ".") && lacks.What != name {
				t.Errorf("%s: error %v, want it to name the option", name, err)
			}
			if lacks.Capability != want.capability || !strings.Contains(err.Error(), "broker/redis") || strings.Contains(err.Error(), "invalid") {
				t.Errorf("%s: %q, want it to name %s and the remedy", name, err, want.capability)
			}
		}

		m := must(minion.New(b, minion.Logger(silent)))
		later := make(chan error, 1)
		err = task.Handle(m, work, func(ctx context.Context, a args) (int, error) {
			_, err := work.Apply(ctx, task.OnSuccess(ctx), a)
			later <- err
			return a.N, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx, 1) }()
		if n, err := work.Call(ctx, arb, args{7}); n != 7 || err != nil {
			t.Errorf("a single task: %d, %v", n, err)
		}
		if err := <-later; !errors.Is(err, task.ErrUnsupported) {
			t.Errorf("OnSuccess: error is %v, want ErrUnsupported", err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
