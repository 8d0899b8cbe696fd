package minion_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// fails checks that a task becomes a dead letter with the given error.
func (r *rig) fails(fut *task.Future[int], reason error, says ...string) {
	r.Helper()
	_, err := r.result(fut)
	if !errors.Is(err, reason) || !errors.As(err, new(*task.RemoteError)) {
		r.Errorf("result: %v, want one that is %v", err, reason)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			r.Errorf("result: %v, which does not say %q", err, s)
		}
	}
	letters := r.dead("default")
	if len(letters) != 1 || letters[0].Task.ID != fut.ID() || letters[0].Outcome.Err == nil {
		r.Errorf("dead letters: %+v", letters)
	}
}

func TestUnknownTask(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) { return 0, nil })
		other := task.Define[args, int]("no_such_task")
		fut, err := other.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		r.fails(fut, task.ErrUnknownTask, "no_such_task", "knows work")
	})
}

func TestUnknownCodec(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) { return 0, nil })
		id := broker.NewID(broker.KindTask, "default", 0)
		err := r.b.Enqueue(t.Context(), []*broker.Task{{
			ID: id, Name: "work", Queue: "default", Codec: "morse", Retries: broker.DefaultRetries,
			Retention: time.Hour, DeadFor: time.Hour,
		}})
		if err != nil {
			t.Fatal(err)
		}
		fut := task.NewFuture[int](r.arb, id)
		_, err = r.result(fut)
		if !errors.As(err, new(*task.RemoteError)) || !strings.Contains(err.Error(), "morse") {
			t.Errorf("result: %v", err)
		}
	})
}

func TestBadArguments(t *testing.T) {
	for name, opt := range map[string]arbiter.ApplyOption{
		"too few":  arbiter.Args(),
		"too many": arbiter.Args(1, 2),
		"type":     arbiter.Args("one"),
		"name":     arbiter.KwArgs(map[string]any{"m": 1}),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.crew(1, func(context.Context, args) (int, error) { t.Error("it ran"); return 0, nil })
				ids, err := r.arb.Apply(t.Context(), "work", opt)
				if err != nil {
					t.Fatal(err)
				}
				fut := task.NewFuture[int](r.arb, ids[0])
				r.fails(fut, task.ErrBadArguments)
				r.want(fut, broker.StateFailed, 1, 0)
			})
		})
	}
}

func TestBadResult(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
		odd := task.Define[args, any]("odd")
		err := task.Handle(m, odd, func(context.Context, args) (any, error) { return make(chan int), nil })
		if err != nil {
			t.Fatal(err)
		}
		r.start(m, 1)
		fut, err := odd.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fut.Result(t.Context()); !errors.Is(err, task.ErrBadResult) || !strings.Contains(err.Error(), "chan") {
			t.Errorf("result: %v", err)
		}
	})
}

func TestResultTooLarge(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
		big := task.Define[args, string]("big")
		err := task.Handle(m, big, func(_ context.Context, a args) (string, error) {
			return strings.Repeat("x", a.N), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r.start(m, 1)
		if s, err := big.Call(t.Context(), r.arb, args{100}); len(s) != 100 || err != nil {
			t.Errorf("result of %d bytes, %v", len(s), err)
		}
		_, err = big.Call(t.Context(), r.arb, args{2000})
		if !errors.Is(err, task.ErrBadResult) || !strings.Contains(err.Error(), "1000") {
			t.Errorf("result: %v", err)
		}
	}, memory.Limits(broker.Limits{Result: 1000}))
}

// The broker refuses a result that the minion has accepted.
func TestResultRefused(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		r.b.Set(refuseResults())
		r.crew(1, func(context.Context, args) (int, error) { return 5, nil })
		r.fails(r.send(1), task.ErrBadResult, "limit")
	})
}

func TestPanic(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := 0
		r.crew(1, func(context.Context, args) (int, error) {
			if n++; n == 2 {
				return 7, nil
			}
			panicHere()
			return 0, nil
		}, minion.Retry(1, task.Constant(0)))
		if n, err := r.result(r.send(1)); n != 7 || err != nil {
			t.Errorf("after a panic: %d, %v", n, err)
		}
		n = 10
		fut := r.send(1)
		r.fails(fut, task.ErrPanic, "index out of range")
		_, err := r.result(fut)
		var remote *task.RemoteError
		if !errors.As(err, &remote) || !strings.Contains(remote.Stack, "panicHere") || remote.Type != "runtime.boundsError" ||
			!strings.HasPrefix(remote.Stack, "panic(") {
			t.Errorf("the error came as %+v", remote)
		}
	})
}

func panicHere() {
	var list []int
	_ = list[len(list)+3]
}

// A handler that ends its goroutine frees its slot.
func TestGoexit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if a.N == 0 {
				runtime.Goexit()
			}
			return a.N, nil
		}, minion.Retry(3, task.Constant(0)))
		fut := r.send(0)
		r.fails(fut, task.ErrPanic, "Goexit")
		r.want(fut, broker.StateFailed, 4, 3)
		if n, err := r.result(r.send(9)); n != 9 || err != nil {
			t.Errorf("the slot after it: %d, %v", n, err)
		}
	})
}

// awful is an error whose methods panic.
type awful struct{}

func (awful) Error() string   { panic("no message") }
func (awful) Is(error) bool   { panic("no identity") }
func (awful) Unwrap() error   { panic("no cause") }
func (awful) As(any) bool     { panic("no type") }
func (awful) Unrelated() bool { return true }

func TestAwfulErrors(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if a.N == 0 {
				return 0, awful{}
			}
			panic(awful{})
		}, minion.Retry(0, nil))
		for n := range 2 {
			_, err := r.result(r.send(n))
			if !errors.As(err, new(*task.RemoteError)) || !strings.Contains(err.Error(), "awful") {
				t.Errorf("result: %v", err)
			}
		}
	})
}
