package minion_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

var parent = task.Define[args, int]("parent")

// family starts a minion with the handlers work and parent; parent sends work.
func (r *rig) family(slots int, child, elder func(context.Context, args) (int, error), opts ...minion.Option) *crew {
	r.Helper()
	opts = append([]minion.Option{minion.Logger(r.logs.logger()), minion.Retry(3, task.Constant(time.Second))}, opts...)
	m := must(minion.New(r.b, opts...))
	if err := errors.Join(task.Handle(m, work, child), task.Handle(m, parent, elder)); err != nil {
		r.Fatal(err)
	}
	return r.start(m, slots)
}

func submitter(ctx context.Context) task.Submitter {
	info, _ := task.FromContext(ctx)
	return info.Submitter
}

// The original's minion.apply(...) inside a task: 20 tasks send tasks, in 10 slots and in a
// single slot.
func TestTaskInTask(t *testing.T) {
	for _, slots := range []int{10, 1} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var most, now atomic.Int32
				c := r.family(slots, func(_ context.Context, a args) (int, error) {
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					now.Add(-1)
					return 2 * a.N, nil
				}, func(ctx context.Context, a args) (int, error) {
					return work.Call(ctx, submitter(ctx), args{a.N})
				})
				var futs []*task.Future[int]
				for i := range 20 {
					fut, err := parent.Apply(t.Context(), r.arb, args{i})
					if err != nil {
						t.Fatal(err)
					}
					futs = append(futs, fut)
				}
				began := time.Now()
				for i, fut := range futs {
					if n, err := r.result(fut); n != 2*i || err != nil {
						t.Fatalf("task %d gives %d, %v", i, n, err)
					}
				}
				r.near("all", time.Since(began), time.Duration(20/slots)*time.Second)
				if int(most.Load()) > slots {
					t.Errorf("%d children ran at once in %d slots", most.Load(), slots)
				}
				if err := c.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A minion that stops lets handlers finish that wait for other tasks.
func TestStopWhileWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.family(1, func(context.Context, args) (int, error) {
			time.Sleep(5 * time.Second)
			return 1, nil
		}, func(ctx context.Context, a args) (int, error) {
			return work.Call(ctx, submitter(ctx), args{a.N})
		})
		fut, err := parent.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // the child runs, the parent waits
		if err := c.stop(); err != nil {
			t.Error(err)
		}
		if n, err := r.result(fut); n != 1 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
	})
}

// A repeated attempt sends no second task, in whatever order it sends, and gets the results
// of the tasks that an earlier attempt has sent.
func TestRepeatedAttemptSendsOnce(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	encrypted, err := codec.Encrypt(codec.Msgpack(), key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := codec.Sign(encrypted, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []codec.Codec{codec.Msgpack(), encrypted, signed} {
		t.Run(c.Name(), func(t *testing.T) { repeatedAttempt(t, c) })
	}
}

// repeatedAttempt runs an attempt that sends the calls of the previous attempt again, in
// another order and, with some codecs, in other bytes.
func repeatedAttempt(t *testing.T, c codec.Codec) {
	bubble(t, func(t *testing.T, r *rig) {
		_ = r.arb.Close()
		arb, err := arbiter.New(r.b, arbiter.Codec(c), arbiter.Logger(r.logs.logger()))
		if err != nil {
			t.Fatal(err)
		}
		r.arb = arb
		defer func() { _ = arb.Close() }()
		var ran atomic.Int32
		r.family(4, func(_ context.Context, a args) (int, error) {
			ran.Add(1)
			return a.N, nil
		}, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			calls := []int{1, 2, 2, 3}
			if info.Attempt > 1 {
				calls = []int{2, 3, 1, 2}
			}
			total := 0
			for _, n := range calls {
				got, err := work.Call(ctx, info.Submitter, args{n})
				if err != nil {
					return 0, err
				}
				total += got
			}
			both, err := task.All(work.Bind(args{2}), work.Bind(args{5})).Send(ctx, info.Submitter)
			if err != nil {
				return 0, err
			}
			got, err := both.Result(ctx)
			if err != nil {
				return 0, err
			}
			if info.Attempt < 3 {
				return 0, errBad
			}
			return total + got[0] + got[1], nil
		}, minion.Codecs(c))
		fut, err := parent.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.result(fut); n != 8+7 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		if ran.Load() != 6 {
			t.Errorf("%d children ran, want 6", ran.Load())
		}
	})
}

// A handler spreads the tasks that it sends together, at once and on success.
func TestSpreadOfHandler(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		type start struct{ n, minute int }
		var mu sync.Mutex
		var starts []start
		began := time.Now()
		r.family(2, func(_ context.Context, a args) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			starts = append(starts, start{a.N, int(time.Since(began).Round(time.Second) / time.Minute)})
			return a.N, nil
		}, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			spread := work.With(task.Spread(4 * time.Minute))
			var calls []task.Call[int]
			for i := range 4 {
				calls = append(calls, spread.Bind(args{i}))
			}
			if _, err := task.SendAll(ctx, info, calls...); err != nil {
				return 0, err
			}
			if info.Attempt == 1 { // the next attempt sends the same calls, and they are stored once
				return 0, errBad
			}
			if _, err := task.SendAll(ctx, task.OnSuccess(ctx), spread.Bind(args{10}), spread.Bind(args{11})); err != nil {
				return 0, err
			}
			_, err := spread.Apply(ctx, info, args{20})
			if !errors.Is(err, task.ErrInvalid) {
				t.Errorf("a call that is sent alone: %v", err)
			}
			return 0, nil
		})
		if _, err := parent.Apply(t.Context(), r.arb, args{1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		slices.SortFunc(starts, func(a, b start) int { return a.n - b.n })
		if want := []start{{0, 0}, {1, 1}, {2, 2}, {3, 3}, {10, 0}, {11, 2}}; !slices.Equal(starts, want) {
			t.Errorf("the starts are %v, want %v", starts, want)
		}
	})
}

// The tasks of OnSuccess are stored with the success: all of them, or none.
func TestOnSuccess(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ran := make(chan int, 10)
		r.family(2, func(_ context.Context, a args) (int, error) {
			ran <- a.N
			return a.N, nil
		}, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			for i := range 3 {
				call := work.Bind(args{i})
				fut, err := call.Send(ctx, task.OnSuccess(ctx))
				if err != nil {
					return 0, err
				}
				if _, err := call.Send(ctx, task.OnSuccess(ctx)); err != nil { // the same call again
					return 0, err
				}
				if _, err := fut.Result(ctx); !errors.Is(err, task.ErrNotSubmitted) {
					t.Errorf("waiting for it: %v", err)
				}
			}
			if len(ran) > 0 {
				t.Error("a child has run already")
			}
			if info.Attempt < 3 {
				return 0, errBad
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
		time.Sleep(100 * time.Millisecond)
		seen := make(map[int]int)
		for len(ran) > 0 {
			seen[<-ran]++
		}
		if len(seen) != 3 || seen[0] != 1 || seen[1] != 1 || seen[2] != 1 {
			t.Errorf("ran %v", seen)
		}
	})
}

func TestOnSuccessRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, err := work.Apply(t.Context(), task.OnSuccess(t.Context()), args{1})
		if !errors.Is(err, task.ErrInvalid) {
			t.Errorf("outside of a task: %v", err)
		}
		large := task.Define[struct{ S string }, int]("large")
		r.family(1, func(context.Context, args) (int, error) { return 0, nil }, func(ctx context.Context, _ args) (int, error) {
			later := task.OnSuccess(ctx)
			if _, err := task.All(work.Bind(args{1})).Send(ctx, later); !errors.Is(err, task.ErrInvalid) {
				t.Errorf("a group: %v", err)
			}
			if _, err := task.Define[args, int]("a b").Apply(ctx, later, args{}); !errors.Is(err, task.ErrInvalid) {
				t.Errorf("a bad name: %v", err)
			}
			if err := later.Submit(ctx, nil); !errors.Is(err, task.ErrInvalid) {
				t.Errorf("no call: %v", err)
			}
			mega := struct{ S string }{string(make([]byte, 1<<20-100))}
			for i := range 5 {
				if _, err := large.Apply(ctx, later, mega); (err != nil) != (i >= 3) || err != nil && !errors.Is(err, task.ErrTooLarge) {
					t.Errorf("MiB %d: %v", i, err)
				}
			}
			for i := 3; i < broker.MaxBatch; i++ {
				if _, err := work.Apply(ctx, later, args{i}); err != nil {
					t.Fatal(i, err)
				}
			}
			if _, err := work.Apply(ctx, later, args{0}); !errors.Is(err, task.ErrTooLarge) {
				t.Errorf("one too many: %v", err)
			}
			return 0, errors.Join(task.NoRetry(errBad)) // and none of the tasks is sent
		})
		fut, err := parent.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.result(fut); err == nil || err.Error() != "task parent: bad" {
			t.Errorf("error %v", err)
		}
	})
}

// The tasks of a settlement are enqueued even if the first tries fail.
func TestOnSuccessIsNotLost(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var ran, failed atomic.Int32
		r.family(2, func(context.Context, args) (int, error) {
			ran.Add(1)
			return 0, nil
		}, func(ctx context.Context, a args) (int, error) {
			_, err := work.Apply(ctx, task.OnSuccess(ctx), a)
			return 0, err
		})
		fut, err := parent.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if (op == faulty.Enqueue || op == faulty.Confirm || op == faulty.Arrivals) && failed.Add(1) < 6 {
				return faulty.ErrUnavailable
			}
			return nil
		}, After: func(op faulty.Op, _ int) error {
			if (op == faulty.Enqueue || op == faulty.Confirm) && failed.Add(1) < 12 {
				return faulty.ErrLostReply
			}
			return nil
		}})
		if _, err := r.result(fut); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if ran.Load() != 1 {
			t.Errorf("it ran %d times", ran.Load())
		}
	})
}

// If middleware runs the handler again, the calls of the last run are sent, and none twice.
func TestMiddlewareRunsAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var ran, runs atomic.Int32
		again := func(next minion.Handler) minion.Handler {
			return func(ctx context.Context) error {
				if err := next(ctx); err != nil {
					return next(ctx)
				}
				return nil
			}
		}
		r.family(2, func(context.Context, args) (int, error) {
			ran.Add(1)
			return 0, nil
		}, func(ctx context.Context, _ args) (int, error) {
			if _, err := work.Apply(ctx, submitter(ctx), args{1}); err != nil {
				return 0, err
			}
			if _, err := work.Apply(ctx, task.OnSuccess(ctx), args{2}); err != nil {
				return 0, err
			}
			if runs.Add(1) == 1 {
				return 0, errBad
			}
			return 0, nil
		}, minion.Use(again))
		fut, err := parent.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.result(fut); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if ran.Load() != 2 {
			t.Errorf("%d tasks ran, want 2", ran.Load())
		}
	})
}
