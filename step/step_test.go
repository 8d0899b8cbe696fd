package step_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/internal/testing/plain"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/step"
	"github.com/go-arbiter/arbiter/task"
)

var silent = slog.New(slog.DiscardHandler)

// calls counts calls of functions by name.
type calls struct {
	mu sync.Mutex
	by map[string]int
}

func (c *calls) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]int{}
	}
	c.by[name]++
	return c.by[name]
}

// on runs a handler in a bubble: it sends a task to it, and calls then with its future and the arbiter.
func on(t *testing.T, b func() broker.Broker, handler func(ctx context.Context) (string, error), opts []arbiter.Option, more []minion.Option, then func(t *testing.T, arb *arbiter.Arbiter, f *task.Future[string])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		br := b()
		defer func() { _ = br.Close() }()
		tsk := task.Define[task.None, string]("steps", task.Retries(3), task.WithBackoff(task.Constant(time.Second)))
		m, err := minion.New(br, append(more, minion.Logger(silent))...)
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Handle(m, tsk, func(ctx context.Context, _ task.None) (string, error) { return handler(ctx) }); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = m.Run(ctx, 2) })
		defer wg.Wait()
		defer stop()
		arb, err := arbiter.New(br, append(opts, arbiter.Logger(silent))...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		f, err := tsk.Apply(ctx, arb, task.None{})
		if err != nil {
			t.Fatal(err)
		}
		then(t, arb, f)
	})
}

func inMemory() broker.Broker { return memory.New() }

// result checks the result of a task.
func result(t *testing.T, f *task.Future[string], want string) {
	t.Helper()
	if got, err := f.Result(t.Context()); err != nil || got != want {
		t.Errorf("the task returned %q, %v; want %q", got, err, want)
	}
}

// A step whose result is stored does not run again, and its attempt gets the stored result.
func TestRun(t *testing.T) {
	var c calls
	fails := errors.New("fails")
	on(t, inMemory, func(ctx context.Context) (string, error) {
		var out []string
		for i := range 3 {
			name := fmt.Sprintf("step%d", i)
			s, err := step.Run(ctx, name, func(context.Context) (string, error) {
				if n := c.count(name); i == 1 && n == 1 {
					return "", fails // an error is not stored
				}
				return fmt.Sprintf("%s.%d", name, c.by[name]), nil
			})
			if err != nil {
				return "", err
			}
			if i == 2 && c.count("end") == 1 {
				return "", fails
			}
			out = append(out, s)
		}
		return strings.Join(out, " "), nil
	}, nil, nil, func(t *testing.T, _ *arbiter.Arbiter, f *task.Future[string]) {
		result(t, f, "step0.1 step1.2 step2.1")
	})
}

// A step that is done is stored although its context has ended meanwhile.
func TestRunPastTheEndOfItsContext(t *testing.T) {
	var c calls
	on(t, inMemory, func(ctx context.Context) (string, error) {
		ends, end := context.WithCancel(ctx)
		defer end()
		s, err := step.Run(ends, "a", func(context.Context) (string, error) {
			end()
			return fmt.Sprint("a", c.count("a")), nil
		})
		if err == nil && c.count("end") == 1 {
			err = errors.New("fails")
		}
		return s, err
	}, nil, nil, func(t *testing.T, _ *arbiter.Arbiter, f *task.Future[string]) { result(t, f, "a1") })
}

// A sleep of days uses no retry and no slot, and is not begun again.
func TestSleep(t *testing.T) {
	var c calls
	var began time.Time
	on(t, inMemory, func(ctx context.Context) (string, error) {
		if c.count("attempt") == 1 {
			began = time.Now()
		}
		if err := step.Sleep(ctx, "none", 0); err != nil {
			return "", err
		}
		if err := step.Sleep(ctx, "days", 48*time.Hour); err != nil {
			if again := step.Sleep(ctx, "more", time.Hour); again == nil || again.Error() != err.Error() {
				return "", task.NoRetry(fmt.Errorf("a step after the sleep began: %w", again))
			}
			return "", fmt.Errorf("wrapped: %w", err)
		}
		if c.count("after") == 1 {
			return "", errors.New("fails after the sleep")
		}
		info, _ := task.FromContext(ctx)
		return fmt.Sprintf("%v, %d retries", time.Since(began).Round(time.Minute), info.Retried), nil
	}, nil, nil, func(t *testing.T, _ *arbiter.Arbiter, f *task.Future[string]) {
		result(t, f, "48h0m0s, 1 retries")
	})
}

// A wait of a day ends as soon as the signal is there.
func TestWait(t *testing.T) {
	handler := func(ctx context.Context) (string, error) {
		n, err := step.Wait[int](ctx, "approval", 24*time.Hour)
		if errors.Is(err, step.ErrNoSignal) {
			if _, err = step.Run(ctx, "missed", func(context.Context) (bool, error) { return true, nil }); err == nil {
				err = step.Sleep(ctx, "rest", time.Hour)
			}
			if err == nil {
				return "missed", nil
			}
		}
		if err != nil {
			return "", err
		}
		return fmt.Sprint(n), nil
	}
	t.Run("Comes", func(t *testing.T) {
		on(t, inMemory, handler, nil, nil, func(t *testing.T, arb *arbiter.Arbiter, f *task.Future[string]) {
			time.Sleep(5 * time.Hour)
			began := time.Now()
			if err := arb.Signal(t.Context(), f.ID(), "approval", 7); err != nil {
				t.Fatal(err)
			}
			result(t, f, "7")
			if took := time.Since(began); took > time.Second {
				t.Errorf("the task went on after %v", took)
			}
			if err := arb.Signal(t.Context(), f.ID(), "approval", 8); !errors.Is(err, broker.ErrEnded) {
				t.Errorf("a signal to a task that has ended: %v", err)
			}
		})
	})
	t.Run("CameBefore", func(t *testing.T) {
		on(t, inMemory, handler, nil, nil, func(t *testing.T, arb *arbiter.Arbiter, f *task.Future[string]) {
			if err := arb.Signal(t.Context(), f.ID(), "approval", 9); err != nil {
				t.Fatal(err)
			}
			if err := arb.Signal(t.Context(), f.ID(), "approval", 10); !errors.Is(err, broker.ErrSignaled) {
				t.Errorf("a second signal: %v", err)
			}
			result(t, f, "9")
		})
	})
	t.Run("ComesTooLate", func(t *testing.T) {
		on(t, inMemory, handler, nil, nil, func(t *testing.T, arb *arbiter.Arbiter, f *task.Future[string]) {
			time.Sleep(24*time.Hour + time.Minute) // the task has missed it, and rests
			if err := arb.Signal(t.Context(), f.ID(), "approval", 11); err != nil {
				t.Fatal(err)
			}
			result(t, f, "missed")
		})
	})
}

// A loop goes on behind the last item that is done.
func TestEach(t *testing.T) {
	var seen []int
	items := []int{10, 20, 30, 40}
	on(t, inMemory, func(ctx context.Context) (string, error) {
		err := step.Each(ctx, "items", items, func(_ context.Context, _, item int) error {
			seen = append(seen, item)
			if len(seen) == 3 {
				return errors.New("fails")
			}
			return nil
		})
		return fmt.Sprint(seen), err
	}, nil, nil, func(t *testing.T, _ *arbiter.Arbiter, f *task.Future[string]) {
		result(t, f, "[10 20 30 30 40]")
	})
}

// A task that has gone past the point of a change with the old code goes on with it; a new one takes the new code.
func TestChanged(t *testing.T) {
	for _, begunBefore := range []bool{false, true} {
		var c calls
		on(t, inMemory, func(ctx context.Context) (string, error) {
			isNew := false
			if c.count("attempt") > 1 || !begunBefore {
				var err error
				if isNew, err = step.Changed(ctx, "v2"); err != nil {
					return "", err
				}
			}
			if _, err := step.Run(ctx, "old", func(context.Context) (int, error) { return 1, nil }); err != nil {
				return "", err
			}
			if c.by["attempt"] < 3 {
				return "", errors.New("fails")
			}
			return fmt.Sprint(isNew), nil
		}, nil, nil, func(t *testing.T, _ *arbiter.Arbiter, f *task.Future[string]) {
			result(t, f, fmt.Sprint(!begunBefore))
		})
	}
}

// A dead letter that is forked takes the step again, and those behind it.
func TestFork(t *testing.T) {
	var c calls
	on(t, inMemory, func(ctx context.Context) (string, error) {
		var out []string
		for _, name := range []string{"a", "b", "c"} {
			s, err := step.Run(ctx, name, func(context.Context) (string, error) { return fmt.Sprint(name, c.count(name)), nil })
			if err != nil {
				return "", err
			}
			out = append(out, s)
		}
		if c.count("end") == 1 {
			return "", task.NoRetry(errors.New("fails"))
		}
		return strings.Join(out, " "), nil
	}, nil, nil, func(t *testing.T, arb *arbiter.Arbiter, f *task.Future[string]) {
		if _, err := f.Result(t.Context()); err == nil {
			t.Fatal("the task did not fail")
		}
		for what, err := range map[string]error{
			"an unknown step": arb.Fork(t.Context(), f.ID(), "d"),
			"an unknown task": arb.Fork(t.Context(), broker.NewTaskID("q", ""), "a"),
		} {
			if !errors.Is(err, task.ErrNotFound) {
				t.Errorf("a fork from %s: %v", what, err)
			}
		}
		if err := arb.Fork(t.Context(), f.ID(), "b"); err != nil {
			t.Fatal(err)
		}
		result(t, task.NewFuture[string](arb, f.ID()), "a1 b2 c2")
		if err := arb.Fork(t.Context(), f.ID(), "b"); !errors.Is(err, task.ErrNotFound) {
			t.Errorf("a fork of a task that has succeeded: %v", err)
		}
	})
}

// inspected is a broker with faults and with dead letters.
type inspected struct {
	*faulty.Broker
	broker.Inspector
}

// A signal or a fork whose reply is lost is repeated, and is carried out once.
func TestLostReply(t *testing.T) {
	var c calls
	var f inspected
	lose := func(op faulty.Op) {
		once := false
		f.Set(faulty.Hooks{After: func(o faulty.Op, _ int) error {
			if o != op || once {
				return nil
			}
			once = true
			return faulty.ErrLostReply
		}})
	}
	on(t, func() broker.Broker { m := memory.New(); f = inspected{faulty.New(m), m}; return f }, func(ctx context.Context) (string, error) {
		n, err := step.Wait[int](ctx, "s", time.Hour)
		if err != nil {
			return "", err
		}
		if c.count("end") == 1 {
			return "", task.NoRetry(errors.New("fails"))
		}
		a, err := step.Run(ctx, "a", func(context.Context) (int, error) { return c.count("a"), nil })
		if err == nil && c.count("letters") < 2 {
			err = task.NoRetry(errors.New("fails again"))
		}
		return fmt.Sprint(n, a), err
	}, nil, nil, func(t *testing.T, arb *arbiter.Arbiter, fut *task.Future[string]) {
		time.Sleep(time.Minute)
		lose(faulty.Signal)
		if err := arb.Signal(t.Context(), fut.ID(), "s", 7); err != nil && !errors.Is(err, task.ErrIndeterminate) {
			t.Fatal(err)
		}
		failed := func() {
			t.Helper()
			if _, err := task.NewFuture[string](arb, fut.ID()).Result(t.Context()); err == nil {
				t.Fatal("the task did not fail")
			}
		}
		failed()
		lose("")
		if errs, err := f.Requeue(t.Context(), []broker.ID{fut.ID()}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		failed()
		lose(faulty.DropSteps)
		if err := arb.Fork(t.Context(), fut.ID(), "a"); !errors.Is(err, task.ErrIndeterminate) || !errors.Is(err, task.ErrNotFound) {
			t.Fatalf("a fork whose reply was lost: %v", err)
		}
		if errs, err := f.Requeue(t.Context(), []broker.ID{fut.ID()}); err != nil || errs[0] != nil {
			t.Fatal(errs, err)
		}
		result(t, task.NewFuture[string](arb, fut.ID()), "7 2")
	})
}

// Misuse gets an error that names the step and the remedy.
func TestErrors(t *testing.T) {
	run := func(ctx context.Context, name string) error {
		_, err := step.Run(ctx, name, func(context.Context) (int, error) { return 1, nil })
		return err
	}
	if err := run(t.Context(), "a"); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "context of a running task") {
		t.Errorf("outside of a task: %v", err)
	}
	on(t, inMemory, func(ctx context.Context) (string, error) {
		if err := run(ctx, "a"); err != nil {
			return "", err
		}
		for what, err := range map[string]error{
			"step a: ":  run(ctx, "a"),
			"own name":  step.Sleep(ctx, "a", time.Hour),
			"step name": run(ctx, "a b"),
			"can't be encod": func() error {
				_, err := step.Run(ctx, "c", func(context.Context) (chan int, error) { return make(chan int), nil })
				return err
			}(),
		} {
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), what) {
				return "", task.NoRetry(fmt.Errorf("want an error with %q: %w", what, err))
			}
		}
		return "ok", nil
	}, nil, nil, func(t *testing.T, _ *arbiter.Arbiter, f *task.Future[string]) { result(t, f, "ok") })
	on(t, func() broker.Broker { return plain.Broker{Broker: memory.New()} }, func(ctx context.Context) (string, error) {
		return "", run(ctx, "a")
	}, nil, nil, func(t *testing.T, arb *arbiter.Arbiter, f *task.Future[string]) {
		if _, err := f.Result(t.Context()); err == nil || !strings.Contains(err.Error(), "broker.Steps") {
			t.Errorf("on a broker without steps: %v", err)
		}
		if err := arb.Signal(t.Context(), f.ID(), "s", 1); !errors.Is(err, task.ErrUnsupported) {
			t.Errorf("a signal on a broker without steps: %v", err)
		}
	})
}

// spy remembers what is saved.
type spy struct {
	*memory.Broker
	mu   sync.Mutex
	data []string
}

func (s *spy) SaveStep(ctx context.Context, d *broker.Delivery, one broker.Step) error {
	s.mu.Lock()
	s.data = append(s.data, string(one.Data))
	s.mu.Unlock()
	return s.Broker.SaveStep(ctx, d, one)
}

func (s *spy) Signal(ctx context.Context, id broker.ID, one broker.Signal) error {
	s.mu.Lock()
	s.data = append(s.data, string(one.Data))
	s.mu.Unlock()
	return s.Broker.Signal(ctx, id, one)
}

// Steps and signals of a sealed task are sealed.
func TestSealed(t *testing.T) {
	key, err := codec.Encrypt(codec.Msgpack(), slices.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{}
	on(t, func() broker.Broker { s.Broker = memory.New(); return s }, func(ctx context.Context) (string, error) {
		a, err := step.Run(ctx, "a", func(context.Context) (string, error) { return "secret", nil })
		if err != nil {
			return "", err
		}
		b, err := step.Wait[string](ctx, "b", time.Hour)
		return a + b, err
	}, []arbiter.Option{arbiter.Codec(key)}, []minion.Option{minion.Codecs(key)}, func(t *testing.T, arb *arbiter.Arbiter, f *task.Future[string]) {
		time.Sleep(time.Minute)
		if err := arb.Signal(t.Context(), f.ID(), "b", "secret"); err != nil {
			t.Fatal(err)
		}
		result(t, f, "secretsecret")
		if len(s.data) != 3 || strings.Contains(strings.Join(s.data, ""), "secret") {
			t.Errorf("stored: %q", s.data)
		}
	})
}
