//go:build unix

package e2e

import (
	"context"
	"log/slog"
	"testing"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/ctxtest"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
	"github.com/go-arbiter/arbiter/task"
)

// While the server hangs, each method of an arbiter, and of the values that it returns, ends soon
// after its context. The error wraps the error of the context.
func TestContextEndsWhileServerHangs(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	busy := stall.Start(t)
	line := redisproxy.Start(t, redistest.Start(t, path).Addr)
	silent := slog.New(slog.DiscardHandler)
	b, err := redis.Open(t.Context(), line.URL(), redis.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	type nothing struct{}
	work := task.Define[nothing, nothing]("work")
	fut, err := work.Apply(t.Context(), arb, nothing{})
	if err != nil {
		t.Fatal(err)
	}
	calls := func() []task.Bound { return []task.Bound{work.Bind(nothing{}), work.Bind(nothing{})} }
	group, err := arb.Group(t.Context(), calls())
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string]func(ctx context.Context) error{
		"Submit":       func(ctx context.Context) error { return arb.Submit(ctx, calls()...) },
		"Send":         func(ctx context.Context) error { _, err := work.Apply(ctx, arb, nothing{}); return err },
		"Apply":        func(ctx context.Context) error { _, err := arb.Apply(ctx, "work"); return err },
		"ApplySync":    func(ctx context.Context) error { _, err := arb.ApplySync(ctx, "work"); return err },
		"Result":       func(ctx context.Context) error { _, err := fut.Result(ctx); return err },
		"Await":        func(ctx context.Context) error { return arb.Await(ctx, fut.ID(), nil) },
		"Status":       func(ctx context.Context) error { _, err := arb.Status(ctx, fut.ID()); return err },
		"Group status": func(ctx context.Context) error { _, err := arb.Status(ctx, group.ID()); return err },
		"Kill":         func(ctx context.Context) error { _, err := arb.Kill(ctx, fut.ID()); return err },
		"Kill, waits":  func(ctx context.Context) error { _, err := arb.Kill(ctx, fut.ID(), arbiter.Wait()); return err },
		"KillGroup":    func(ctx context.Context) error { _, err := arb.KillGroup(ctx, group.ID()); return err },
		"Workers":      func(ctx context.Context) error { _, err := arb.Workers(ctx); return err },
		"Minions":      func(ctx context.Context) error { _, err := arb.Minions(ctx); return err },
		"Emit":         func(ctx context.Context) error { return arb.Emit(ctx, "topic", 1) },
		"Group":        func(ctx context.Context) error { _, err := arb.Group(ctx, calls()); return err },
		"FindGroup":    func(ctx context.Context) error { _, err := arb.FindGroup(ctx, group.ID()); return err },
		"Pipe":         func(ctx context.Context) error { _, err := arb.Pipe(ctx, calls()); return err },
		"Squad":        func(ctx context.Context) error { _, err := arb.Squad(ctx, calls()); return err },
		"WaitForTasks": func(ctx context.Context) (err error) {
			for _, e := range arb.WaitForTasks(ctx, fut.ID()) {
				err = e
			}
			return err
		},
		"Listen": func(ctx context.Context) (err error) {
			for _, e := range arb.Listen(ctx, "topic", broker.CursorNow) {
				err = e
			}
			return err
		},
	}
	line.Freeze(true)
	defer line.Freeze(false)
	ctxtest.EndsAll(t, busy, methods)
}
