package original

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var silent = slog.New(slog.DiscardHandler)

// rig is an arbiter, and a minion with the tasks of the original's tests: simple_add, add_in_task,
// add_in_pipe, long_running, and callbacks that count their runs.
type rig struct {
	*testing.T
	b         broker.Broker
	arb       *arbiter.Arbiter
	callbacks atomic.Int32
	finals    atomic.Int32
	started   atomic.Int32
}

// onBoth runs a test on memory and on Redis.
func onBoth(t *testing.T, slots int, test func(r *rig)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(newRig(t, memory.New(), slots))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		path := redistest.Path(t)
		if path == "" {
			return
		}
		b, err := redis.Open(t.Context(), redistest.Start(t, path).URL(), redis.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		test(newRig(t, b, slots))
	})
}

func newRig(t *testing.T, b broker.Broker, slots int) *rig {
	r := &rig{T: t, b: b}
	m, err := minion.New(b, minion.Logger(silent), minion.DrainTimeout(0))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		task.HandleFunc(m, "simple_add", r.simpleAdd),
		task.HandleFunc(m, "subtract", r.subtract),
		task.HandleFunc(m, "add_in_task", r.addInTask),
		task.HandleFunc(m, "add_in_task_by_name", func(ctx context.Context, _ codec.Arguments) (any, error) {
			info, _ := task.FromContext(ctx)
			return task.Named("simple_add", task.Args(1, 2)).Call(ctx, info)
		}),
		task.Handle(m, addInPipe, r.addInPipe),
		task.HandleFunc(m, "long_running", func(ctx context.Context, _ codec.Arguments) (any, error) {
			r.started.Add(1)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}),
		task.HandleFunc(m, "callback", func(context.Context, codec.Arguments) (any, error) {
			return r.callbacks.Add(1), nil
		}),
		task.HandleFunc(m, "finalize", func(context.Context, codec.Arguments) (any, error) {
			return r.finals.Add(1), nil
		}),
	); err != nil {
		t.Fatal(err)
	}
	arb, err := arbiter.New(b, arbiter.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	r.arb = arb
	done := make(chan error, 1)
	go func() { done <- m.Run(context.Background(), slots) }()
	t.Cleanup(func() {
		_ = arb.Close()
		_ = m.Close()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		_ = b.Close()
	})
	r.until("the minion runs", func() bool {
		all, err := b.Minions(r.ctx())
		return err == nil && len(all) == 1
	})
	return r
}

// simpleAdd adds its arguments and, in a pipe, the result of the previous step.
func (r *rig) simpleAdd(_ context.Context, a codec.Arguments) (any, error) {
	total := int64(0)
	for _, v := range a.Positional {
		n, ok := v.(int64)
		if !ok {
			return nil, task.NoRetry(errors.New("not a number"))
		}
		total += n
	}
	up, _ := a.Named["upstream"].(int64)
	return total + up, nil
}

// subtract subtracts its second argument from the first one. In a pipe the first one is the result
// of the previous step. Unlike a sum, the result depends on the order of the arguments.
func (r *rig) subtract(_ context.Context, a codec.Arguments) (any, error) {
	if len(a.Positional) != 2 {
		return nil, task.NoRetry(errors.New("want two arguments"))
	}
	x, _ := a.Positional[0].(int64)
	y, _ := a.Positional[1].(int64)
	up, _ := a.Named["upstream"].(int64)
	return up + x - y, nil
}

// addInTask sends simple_add and waits for its result.
func (r *rig) addInTask(ctx context.Context, a codec.Arguments) (any, error) {
	info, _ := task.FromContext(ctx)
	add := request.New("simple_add", a, nil)
	if err := info.Submitter.Submit(ctx, add); err != nil {
		return nil, err
	}
	var sum int64
	err := info.Submitter.Await(ctx, add.ID(), &sum)
	return sum, err
}

// ctx returns a context that ends before a test would hang.
func (r *rig) ctx() context.Context {
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	r.Cleanup(cancel)
	return ctx
}

// until waits until ok returns true, which must be soon.
func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	for ctx := r.ctx(); !ok(); time.Sleep(5 * time.Millisecond) {
		if ctx.Err() != nil {
			r.Fatalf("this has not happened in time: %s", what)
		}
	}
}
