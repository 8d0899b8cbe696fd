package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// logs collects the log as text.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) option() arbiter.Option {
	return arbiter.Logger(slog.New(slog.NewTextHandler(io.Writer(l), nil)))
}

// lines returns the lines that contain all the parts.
func (l *logs) lines(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}

// onEach runs a test on memory, on an emulated Redis and on a real one, in parallel with other tests, since it mostly waits.
func onEach(t *testing.T, test func(t *testing.T, b broker.Broker)) {
	t.Helper()
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		b := memory.New()
		defer func() { _ = b.Close() }()
		test(t, b)
	})
	on := func(t *testing.T, url string) {
		b, err := redis.Open(t.Context(), url, redis.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()
		test(t, b)
	}
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		on(t, "redis://"+miniredis.RunT(t).Addr())
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		if path := redistest.Path(t); path != "" {
			on(t, redistest.Start(t, path).URL())
		}
	})
}

// served starts a minion with the handler of work for a queue, and waits until it is registered.
func served(t *testing.T, b broker.Broker, queue string, fn func(context.Context, args) (int, error), opts ...minion.Option) {
	t.Helper()
	m := must(minion.New(b, append([]minion.Option{minion.Logger(silent), minion.DrainTimeout(0), minion.Queue(queue)}, opts...)...))
	if err := task.Handle(m, work, fn); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- m.Run(context.Background(), 1) }()
	t.Cleanup(func() {
		_ = m.Close()
		if err := <-done; err != nil && !errors.Is(err, task.ErrClosed) {
			t.Error(err)
		}
	})
	for {
		all, err := b.Minions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// stuckWait returns the error of a wait that ends with its context. The client looks up the reason in the last part of that time;
// on a slow machine the time may be too short. Then the wait is tried again with more time.
func stuckWait(t *testing.T, wait func(ctx context.Context) error) error {
	t.Helper()
	return toldWait(t, func(err error) bool {
		var e *task.WaitError // on a slow machine it may lack the state
		return errors.Is(err, task.ErrNoMinion) && errors.As(err, &e) && e.State != broker.StateUnknown
	}, wait)
}

// toldWait is stuckWait that tries again until tells is true for the error.
func toldWait(t *testing.T, tells func(err error) bool, wait func(ctx context.Context) error) error {
	t.Helper()
	for limit := 400 * time.Millisecond; ; limit *= 4 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		err := wait(ctx)
		cancel()
		if tells(err) || limit > 10*time.Second {
			return err
		}
	}
}

// The error of a wait tells why the task does not run, for every form of waiting, on each broker, also if the context has less
// than five seconds.
func TestStuckError(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		release := make(chan struct{})
		served(t, b, "default", func(ctx context.Context, a args) (int, error) {
			if a.N == 0 {
				select {
				case <-release:
				case <-ctx.Done():
				}
			}
			return a.N, nil
		})
		arb, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		defer close(release)

		typo := work.With(task.Queue("defoult"))
		const nobody = `it is pending in queue "defoult", which no living minion serves (queues served: default)`
		const inIt = ` in it is pending in queue "defoult", which no living minion serves (queues served: default)`
		cases := map[string]struct {
			wait func(ctx context.Context) error
			says []string
		}{
			"Call": {func(ctx context.Context) error {
				_, err := typo.Call(ctx, arb, args{1})
				return err
			}, []string{"task work (", "): context deadline exceeded: " + nobody}},
			"WaitForTasks": {func(ctx context.Context) error {
				ids, err := arb.Apply(ctx, "work", arbiter.Args(1), arbiter.Count(3), arbiter.Queue("defoult"))
				if err != nil {
					return err
				}
				for _, err = range arb.WaitForTasks(ctx, ids...) {
				}
				return err
			}, []string{"wait for 3 of 3 tasks: task work (", nobody}},
			"ApplySync": {func(ctx context.Context) error {
				_, err := arb.ApplySync(ctx, "work", arbiter.Args(1), arbiter.Queue("defoult"))
				return err
			}, []string{"task work (", nobody}},
			"a group's results": {func(ctx context.Context) error {
				g, err := arbiter.GroupOf(ctx, arb, []task.Call[int]{typo.Bind(args{1}), work.Bind(args{2})})
				if err != nil {
					return err
				}
				_, err = g.Results(ctx)
				return err
			}, []string{"wait for 1 of 2 members: task work (", nobody}},
			"a group's members": {func(ctx context.Context) error {
				g, err := arb.Group(ctx, task.Calls(typo.Bind(args{1})))
				if err != nil {
					return err
				}
				for _, err = range g.WaitForMembers(ctx) {
				}
				return err
			}, []string{"task work (", nobody}},
			"a group as a whole": {func(ctx context.Context) error {
				g, err := arb.Group(ctx, task.Calls(typo.Bind(args{1})))
				if err != nil {
					return err
				}
				var v any
				return g.Result(ctx, &v)
			}, []string{"group ", ": context deadline exceeded: task ", inIt}},
			"a group's callback": {func(ctx context.Context) error {
				g, err := arb.Group(ctx, task.Calls(work.Bind(args{1})), arbiter.Callback(typo.Bind(args{1})))
				if err != nil {
					return err
				}
				var v any
				return g.Result(ctx, &v)
			}, []string{"group ", inIt}},
			"a pipe": {func(ctx context.Context) error {
				p, err := arb.Pipe(ctx, []task.Bound{work.Bind(args{1}), typo.Bind(args{2}), work.Bind(args{3})})
				if err != nil {
					return err
				}
				var v any
				return p.Result(ctx, &v)
			}, []string{"pipe ", inIt}},
			"by its id": {func(ctx context.Context) error {
				fut, err := typo.Apply(ctx, arb, args{1})
				if err != nil {
					return err
				}
				other, err := arbiter.New(b, arbiter.Logger(silent))
				if err != nil {
					return err
				}
				defer func() { _ = other.Close() }()
				_, err = task.NewFuture[int](other, fut.ID()).Result(ctx)
				return err
			}, []string{"task ", ": context deadline exceeded: " + nobody}},
		}
		t.Run("waits", func(t *testing.T) { // so that the code below runs after all of them
			for what, test := range cases {
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					err := stuckWait(t, test.wait)
					if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, task.ErrNoMinion) {
						t.Fatalf("%v", err)
					}
					for _, part := range test.says {
						if !strings.Contains(err.Error(), part) {
							t.Errorf("%q lacks %q", err, part)
						}
					}
					var e *task.WaitError
					if !errors.As(err, &e) || !e.Stuck || e.State != broker.StatePending || e.Queue == "" || e.Seen.IsZero() || e.ID.IsZero() {
						t.Errorf("%+v", e)
					}
				})
			}
		})
	})
}

// A minion with a free slot takes a task that it does not know, and parks it. A busy minion does not take it.
func TestStuckUnknown(t *testing.T) {
	onEach(t, func(t *testing.T, b broker.Broker) {
		started := make(chan struct{})
		served(t, b, "default", func(ctx context.Context, _ args) (int, error) {
			close(started)
			return 0, waitFor(ctx)
		})
		arb, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		if _, err := work.Apply(t.Context(), arb, args{1}); err != nil {
			t.Fatal(err)
		}
		<-started
		err = stuckWait(t, func(ctx context.Context) error {
			_, err := task.Define[args, int]("wirk").Call(ctx, arb, args{1})
			return err
		})
		const want = `: context deadline exceeded: it is pending in queue "default", none of whose 1 living minions knows the task (tasks known: work)`
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, task.ErrNoMinion) || !strings.HasPrefix(err.Error(), "task wirk (") || !strings.HasSuffix(err.Error(), want) {
			t.Error(err)
		}
	})
}

// The error of a wait tells the state of a task that is not stuck.
func TestWaitErrorStates(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(ctx context.Context, a args) (int, error) {
			if a.N < 0 {
				return 0, errBad
			}
			<-ctx.Done()
			return 0, ctx.Err()
		}, minion.Retry(5, task.Constant(time.Hour)))
		retrying := r.send(-1)
		time.Sleep(time.Second)
		running := r.send(1)
		time.Sleep(time.Second)
		for _, test := range []struct {
			fut   *task.Future[int]
			state broker.State
			says  string
		}{
			{retrying, broker.StateRetrying, `: it is retrying, next at 2000-01-01T01:00:00Z, in queue "default"; attempt 1 failed: `},
			{running, broker.StateRunning, ": it is running, attempt 1, at minion "},
			{r.send(2), broker.StatePending, `: it is pending in queue "default" (minions: 1, busy slots: `},
			{r.send(3, task.Delay(time.Hour)), broker.StateScheduled, ": it is scheduled until 2000-01-01T"},
		} {
			for _, limit := range []time.Duration{time.Second, time.Minute, 10 * time.Minute} {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				_, err := test.fut.Result(ctx)
				cancel()
				var e *task.WaitError
				if !errors.As(err, &e) || e.State != test.state || e.Stuck || errors.Is(err, task.ErrNoMinion) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("after %v: %v (%+v)", limit, err, e)
				}
				if time.Since(e.Seen) > limit*5/8+time.Second || time.Since(e.Seen) > time.Minute {
					t.Errorf("after %v: it was seen %v before the end", limit, time.Since(e.Seen))
				}
			}
		}
	})
}

// A wait that ends soon sends no request, and a context that is about to end is never exceeded.
func TestWaitCostsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(10, func(context.Context, args) (int, error) {
			time.Sleep(300 * time.Millisecond)
			return 1, nil
		})
		_, _ = r.send(1).Result(t.Context())
		lookups, minions := r.b.Calls(faulty.Lookup), r.b.Calls(faulty.Minions)
		for _, limit := range []time.Duration{time.Second, 10 * time.Second, time.Hour} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			if _, err := r.send(1).Result(ctx); err != nil {
				t.Error(err)
			}
			cancel()
		}
		time.Sleep(time.Hour) // no request follows
		if r.b.Calls(faulty.Lookup) != lookups || r.b.Calls(faulty.Minions) != minions {
			t.Errorf("%d look-ups, %d times the minions", r.b.Calls(faulty.Lookup)-lookups, r.b.Calls(faulty.Minions)-minions)
		}
		// With a context that has ended, a wait sends no request.
		ctx, cancel := context.WithCancel(t.Context())
		fut := r.send(1, task.Queue("nobody"))
		cancel()
		before := r.b.Total()
		_, err := fut.Result(ctx)
		var e *task.WaitError
		if !errors.As(err, &e) || e.Name != "work" || e.Queue != "nobody" || !errors.Is(err, context.Canceled) {
			t.Errorf("%v (%+v)", err, e)
		}
		if n := r.b.Total() - before; n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// A queue whose tasks nobody runs is logged after 5 s and then once a minute, in one line for all its tasks, until a minion
// comes.
func TestStuckLog(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var l logs
		r.arb = r.arbiter(l.option())
		for i := range 500 {
			fut := r.send(i, task.Queue([]string{"a", "b"}[i%2]))
			go func() { _, _ = fut.Result(context.Background()) }()
		}
		count := func(at string, each int) {
			t.Helper()
			for _, queue := range []string{"a", "b"} {
				found := l.lines("level=WARN", "no living minion serves", "queue="+queue+" ")
				if len(found) != each {
					t.Errorf("after %s: %d lines about queue %s, want %d", at, len(found), queue, each)
				}
				for _, line := range found {
					for _, part := range []string{"tasks=250", "task.name=work", "task.id=", "minions=0", "remedy="} {
						if !strings.Contains(line, part) {
							t.Errorf("%q lacks %q", line, part)
						}
					}
				}
			}
		}
		time.Sleep(4900 * time.Millisecond)
		count("4.9 s", 0)
		requests := r.b.Calls(faulty.Minions)
		time.Sleep(200 * time.Millisecond)
		count("5.1 s", 1)
		if n := r.b.Calls(faulty.Minions) - requests; n != 1 {
			t.Errorf("the minions were asked for %d times", n)
		}
		time.Sleep(59 * time.Second)
		count("64 s", 1)
		time.Sleep(2 * time.Second)
		count("66 s", 2)
		time.Sleep(time.Hour)
		count("an hour", 62)
		r.crew(100, echo, minion.Queues("a", "b"))
		time.Sleep(time.Hour)
		count("two hours", 62)
	})
}

// A task that no minion of its queue knows is logged with its name. (The minion is busy, or else it would take the task and
// park it.)
func TestUnknownTaskLog(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var l logs
		r.arb = r.arbiter(l.option())
		r.crew(1, func(ctx context.Context, _ args) (int, error) { return 0, waitFor(ctx) })
		r.send(1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := task.Define[args, int]("wirk").Call(ctx, r.arb, args{1})
		if !errors.Is(err, task.ErrNoMinion) || !strings.Contains(err.Error(), "tasks known: work") {
			t.Error(err)
		}
		if n := len(l.lines("level=WARN", "no living minion of their queue knows", "task.name=wirk", "known=work", "queue=default")); n != 1 {
			t.Errorf("%d lines: %s", n, l.text.String())
		}
	})
}

func waitFor(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// The error of a squad says that nobody serves its queue.
func TestStuckSquad(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		_, err := r.arb.Squad(t.Context(), task.Calls(work.With(task.Queue("defoult")).Bind(args{1})))
		if !errors.Is(err, task.ErrNotEnoughWorkers) || !strings.Contains(err.Error(), "queue defoult: 1 wanted, but no living minion serves it") {
			t.Error(err)
		}
	})
}

// counting counts the requests to a memory broker, and has all its capabilities.
type counting struct {
	*memory.Broker
	lookups, minions int
}

func (c *counting) Lookup(ctx context.Context, ids []broker.ID) ([]broker.Status, error) {
	c.lookups++
	return c.Broker.Lookup(ctx, ids)
}

func (c *counting) Minions(ctx context.Context) ([]broker.MinionInfo, error) {
	c.minions++
	return c.Broker.Minions(ctx)
}

// In memory no push is lost. Waits without a minion end with a bounded number of requests and reports, so that a bubble sees that
// nothing happens any more. A result that comes in the end is received at once.
func TestStuckInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &counting{Broker: memory.New()}
		defer func() { _ = b.Close() }()
		var l logs
		arb, err := arbiter.New(b, l.option())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		other, err := arbiter.New(b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		own, err := work.Apply(t.Context(), arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := work.Apply(t.Context(), other, args{2})
		if err != nil {
			t.Fatal(err)
		}
		flow, err := task.Collect(work.Bind(args{3})).Send(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		type end struct {
			what string
			at   time.Time
			err  error
		}
		ended := make(chan end, 3)
		wait := func(what string, f func() error) {
			go func() {
				err := f()
				ended <- end{what, time.Now(), err}
			}()
		}
		wait("own", func() error { _, err := own.Result(context.Background()); return err })
		wait("own", func() error {
			_, err := task.NewFuture[int](arb, foreign.ID()).Result(context.Background())
			return err
		})
		wait("flow", func() error { _, err := task.NewFuture[[]int](arb, flow.ID()).Result(context.Background()); return err })

		time.Sleep(24 * time.Hour)
		if n := len(l.lines("no living minion serves")); n != 10 {
			t.Errorf("%d reports, want 10", n)
		}
		if n := len(l.lines("until something changes")); n != 1 {
			t.Errorf("%d last reports, want 1", n)
		}
		lookups, minions := b.lookups, b.minions
		time.Sleep(7 * 24 * time.Hour)
		if b.lookups != lookups || b.minions != minions {
			t.Errorf("%d look-ups and %d times the minions in a week", b.lookups-lookups, b.minions-minions)
		}
		// A new wait makes the client look again.
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		if _, err := work.Call(ctx, arb, args{4}); !errors.Is(err, task.ErrNoMinion) {
			t.Error(err)
		}
		if n := len(l.lines("no living minion serves")); n != 11 {
			t.Errorf("%d reports, want 11", n)
		}
		began := time.Now()
		served(t, b, "default", func(_ context.Context, a args) (int, error) { return a.N, nil })
		for range 3 {
			select {
			case e := <-ended:
				if d := e.at.Sub(began); d > time.Second || e.err != nil {
					t.Errorf("the result of %s came after %v, %v", e.what, d, e.err)
				}
			case <-time.After(time.Hour):
				t.Error("a result has not come")
			}
		}
	})
}

// TestDeadlockRole is the program that TestDeadlock runs: a test in a bubble whose end waits for a result that never comes.
func TestDeadlockRole(t *testing.T) {
	if os.Getenv("ARBITER_TEST_ROLE") != "deadlock" {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		arb, err := arbiter.New(b, arbiter.Logger(slog.New(slog.NewTextHandler(os.Stderr, nil))))
		if err != nil {
			t.Fatal(err)
		}
		n, err := work.Call(context.Background(), arb, args{1})
		fmt.Println("it has ended:", n, err)
	})
}

// A test in a bubble without a minion fails with a deadlock, and does not run for ever.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDeadlockRole$")
	cmd.Env = append(os.Environ(), "ARBITER_TEST_ROLE=deadlock")
	out, err := cmd.CombinedOutput()
	for _, part := range []string{"deadlock", "no living minion serves", "queue=default", "start a minion of the queue"} {
		if err == nil || ctx.Err() != nil || !strings.Contains(string(out), part) {
			t.Fatalf("%v: want a deadlock, and %q, in:\n%s", err, part, out)
		}
	}
}
