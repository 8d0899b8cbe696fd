package minion_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

func init() {
	deeds["by name"] = func(ctx context.Context, d deed) (trace, error) {
		info, _ := task.FromContext(ctx)
		byPlace, err := task.Named("plain", task.Args(d.N)).Call(ctx, info)
		if err != nil {
			return trace{}, err
		}
		fut, err := task.Named("plain", task.KwArgs(map[string]any{"n": d.N + 1})).With(task.Meta("k", "v")).Send(ctx, info)
		if err != nil {
			return trace{}, err
		}
		byKey, err := fut.Result(ctx)
		if err != nil {
			return trace{}, err
		}
		_, bad := task.Named("plain", task.Args("no number")).Call(ctx, info)
		_, name := task.Named("no name", task.Args()).Call(ctx, info)
		return trace{Text: fmt.Sprint(byPlace, byKey, errors.Is(bad, task.ErrBadArguments), errors.Is(name, task.ErrInvalid))}, nil
	}
	deeds["emit"] = func(ctx context.Context, d deed) (trace, error) {
		info, _ := task.FromContext(ctx)
		if err := info.Emit(ctx, d.Text, map[string]int{"n": d.N}); err != nil {
			return trace{}, err
		}
		bad := map[string]error{
			"topic":     info.Emit(ctx, "no topic", 1),
			"payload":   info.Emit(ctx, d.Text, make(chan int)),
			"too large": info.Emit(ctx, d.Text, strings.Repeat("x", broker.DefaultMaxPayload+1)),
		}
		for what, err := range bad {
			if !errors.Is(err, task.ErrInvalid) || errors.Is(err, task.ErrTooLarge) != (what == "too large") || !strings.HasPrefix(err.Error(), "emit") {
				return trace{}, fmt.Errorf("%s: %w", what, err)
			}
		}
		return trace{N: len(bad)}, nil
	}
	deeds["stuck"] = func(ctx context.Context, _ deed) (trace, error) {
		info, _ := task.FromContext(ctx)
		ctx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
		defer cancel()
		_, err := task.Named("plain", task.Args(1), task.Queue("defoult")).Call(ctx, info)
		e := new(task.WaitError)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, task.ErrNoMinion) || !errors.As(err, &e) ||
			e.State != broker.StatePending || e.Queue != "defoult" || e.Name != "plain" || !e.Stuck || !errors.Is(e, context.DeadlineExceeded) {
			return trace{}, fmt.Errorf("%w, of state %v in queue %q, stuck: %v", err, e.State, e.Queue, e.Stuck)
		}
		return trace{Text: err.Error()}, nil
	}
	deeds["given up"] = func(ctx context.Context, _ deed) (trace, error) {
		info, _ := task.FromContext(ctx)
		fut, err := task.Named("plain", task.Args(1), task.Queue("defoult")).Send(ctx, info)
		if err != nil {
			return trace{}, err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer time.AfterFunc(50*time.Millisecond, cancel).Stop()
		var none any
		err = info.Await(ctx, fut.ID(), &none)
		e := new(task.WaitError)
		if !errors.Is(err, context.Canceled) || !errors.As(err, &e) || e.Queue != "defoult" || e.Name != "plain" || !errors.Is(e, context.Canceled) {
			return trace{}, fmt.Errorf("%w, of task %q in queue %q", err, e.Name, e.Queue)
		}
		return trace{N: 1}, nil
	}
}

// The Info of a handler sends calls by name and emits events, and a wait on it says why it
// was in vain: in the minion's process and in a child, on memory and on Redis.
func TestInfoSends(t *testing.T) {
	brokers := map[string]func(t *testing.T) broker.Broker{
		"memory": func(*testing.T) broker.Broker { return memory.New() },
		"redis": func(t *testing.T) broker.Broker {
			path := redistest.Path(t)
			if path == "" {
				return nil
			}
			b, err := redis.Open(t.Context(), redistest.Start(t, path).URL(), redis.Logger(slog.New(slog.DiscardHandler)))
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
	}
	for name, open := range brokers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			if b == nil {
				return
			}
			y := newYardOn(t, b, 1)
			for where, handle := range map[string]task.Task[deed, trace]{"inside": inside, "isolated": isolated} {
				do := func(d deed) trace {
					t.Helper()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					tr, err := handle.Call(ctx, y.arb, d)
					if err != nil {
						t.Errorf("%s, %s: %v", where, d.What, err)
					} else if (tr.PID == os.Getpid()) != (where == "inside") {
						t.Errorf("%s, %s: in process %d", where, d.What, tr.PID)
					}
					return tr
				}
				if tr := do(deed{What: "by name", N: 1}); tr.Text != "2 3 true true" {
					t.Errorf("%s: %+v", where, tr)
				}
				if tr := do(deed{What: "emit", Text: where, N: 5}); tr.N != 3 {
					t.Errorf("%s: %+v", where, tr)
				}
				heard := 0
				for ev, err := range y.arb.Listen(t.Context(), where, broker.CursorStart) {
					var v map[string]int
					if err != nil || ev.Decode(&v) != nil || v["n"] != 5 || ev.Topic != where {
						t.Errorf("%s: %+v, %v, %v", where, ev, v, err)
					}
					heard++
					break
				}
				if heard != 1 {
					t.Errorf("%s: nothing was heard", where)
				}
				const want = `: context deadline exceeded: it is pending in queue "defoult", which no living minion serves (queues served: default)`
				if tr := do(deed{What: "stuck"}); !strings.HasPrefix(tr.Text, "task plain (") || !strings.HasSuffix(tr.Text, want) {
					t.Errorf("%s: %q", where, tr.Text)
				}
				if tr := do(deed{What: "given up"}); tr.N != 1 {
					t.Errorf("%s: a wait that is canceled: %+v", where, tr)
				}
			}
		})
	}
}
