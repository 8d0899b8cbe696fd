package minion_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The error of a closed arbiter, minion or broker names which of them is closed.
func TestClosedNamesIt(t *testing.T) {
	onBrokers(t, func(t *testing.T, b broker.Broker, l *logs) {
		ctx := t.Context()
		want := func(what string, err error, says string) {
			t.Helper()
			if !errors.Is(err, task.ErrClosed) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want an error that says %q", what, err, says)
			}
		}
		uses := func(arb *arbiter.Arbiter, waits *task.Future[int], says string) {
			t.Helper()
			_, err := waits.Result(ctx)
			want("Result", err, says)
			_, err = work.Apply(ctx, arb, args{1})
			want("Apply", err, says)
			_, err = arb.Status(ctx, waits.ID())
			want("Status", err, says)
			_, err = arb.Kill(ctx, waits.ID())
			want("Kill", err, says)
			_, err = arb.Workers(ctx)
			want("Workers", err, says)
			want("Emit", arb.Emit(ctx, "news", 1), says)
			_, err = arb.Group(ctx, []task.Bound{work.Bind(args{1}), work.Bind(args{2})})
			want("a group", err, says)
			for _, err := range arb.Listen(ctx, "news", broker.CursorNow) {
				want("Listen", err, says)
			}
		}
		start := func() (*arbiter.Arbiter, *task.Future[int]) {
			arb, err := arbiter.New(b, arbiter.Logger(l.logger()))
			if err != nil {
				t.Fatal(err)
			}
			fut, err := work.With(task.Queue("nobody")).Apply(ctx, arb, args{1})
			if err != nil {
				t.Fatal(err)
			}
			return arb, fut
		}
		arb, fut := start()
		_ = arb.Close()
		uses(arb, fut, "the arbiter is closed")

		m := must(minion.New(b, minion.Logger(l.logger())))
		if err := task.Handle(m, work, nothing); err != nil {
			t.Fatal(err)
		}
		_ = m.Close()
		want("Run after Close", m.Run(ctx, 1), "minion: it is closed")

		arb, fut = start()
		m = must(minion.New(b, minion.Logger(l.logger())))
		if err := task.Handle(m, work, nothing); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- m.Run(context.Background(), 1) }()
		if _, err := work.Call(ctx, arb, args{1}); err != nil {
			t.Fatal(err)
		}
		_ = b.Close()
		says := "the redis broker at 127.0.0.1:"
		if _, ok := b.(*memory.Broker); ok {
			says = "the memory broker is closed"
		}
		want("Run", <-ended, says)
		uses(arb, fut, says)
		_ = arb.Close()
	})
}
