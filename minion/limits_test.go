package minion_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// starts records when tasks start.
type starts struct {
	mu    sync.Mutex
	began time.Time
	at    map[int][]time.Duration
}

func newStarts() *starts { return &starts{began: time.Now(), at: make(map[int][]time.Duration)} }

// add records a start of task n, and returns its number.
func (s *starts) add(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[n] = append(s.at[n], time.Since(s.began))
	return len(s.at[n])
}

func (s *starts) of(n int) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at[n])
}

// A handler closes the limits of its task for all tasks with the same key. Its attempt uses up no
// retry, and runs again when the limit is open. The limit is closed before the attempt is settled.
func TestLimitReached(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var mu sync.Mutex
		var order []string
		r.b.Set(faulty.Hooks{
			After: func(op faulty.Op, _ int) error {
				if op == faulty.CloseLimit {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, "close")
				}
				return nil
			},
			Refuse: func(s broker.Settlement) error {
				if s.Verb == broker.VerbSnooze {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, "snooze")
				}
				return nil
			},
		})
		seen := newStarts()
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if seen.add(a.N) == 1 && a.N == 0 {
				return 0, fmt.Errorf("429: %w", task.LimitReached(time.Now().Add(time.Hour)))
			}
			return a.N, nil
		}, minion.Retry(0, nil))
		api := func(key string) task.Option { return task.Limit("api", task.KeyedBy(key)) }
		first := r.send(0, api("acme"), task.Limit("disk"))
		same, other, plain := r.send(1, api("acme")), r.send(2, api("other")), r.send(3)
		disk := r.send(4, task.Limit("disk"))
		for _, fut := range []*task.Future[int]{other, plain, same, disk} {
			r.want(fut, broker.StateSucceeded, 1, 0)
		}
		r.want(first, broker.StateSucceeded, 2, 0)
		for n, want := range map[int]time.Duration{1: time.Hour, 2: 0, 3: 0, 4: time.Hour} {
			r.near(fmt.Sprintf("task %d", n), seen.of(n)[0], want)
		}
		r.near("the second attempt", seen.of(0)[1], time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(order) != "[close close snooze]" {
			t.Errorf("requests %v, want the two limits closed before the attempt is settled", order)
		}
		if r.logs.count("level=WARN")+r.logs.count("level=ERROR") > 0 || r.logs.count("limit closed") != 2 {
			t.Errorf("logged:\n%s", r.logs)
		}
	})
}

// A handler can name the limits: one of its task, and one that only other tasks use.
func TestLimitReachedNames(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		seen := newStarts()
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if seen.add(a.N) == 1 && a.N == 0 {
				return 0, task.LimitReached(time.Now().Add(time.Hour), "api", "a b", "unused")
			}
			return a.N, nil
		})
		futs := []*task.Future[int]{
			r.send(0, task.Limit("api", task.KeyedBy("acme")), task.Limit("disk")),
			r.send(1, task.Limit("disk")),
			r.send(2, task.Limit("api", task.KeyedBy("acme"))),
			r.send(3, task.Limit("unused")),
		}
		for _, fut := range futs {
			_, _ = r.result(fut)
		}
		for n, want := range []time.Duration{time.Hour, 0, time.Hour, time.Hour} {
			at := seen.of(n)
			r.near(fmt.Sprintf("task %d", n), at[len(at)-1], want)
		}
		if r.logs.count("a limit could not be closed") != 1 || r.logs.count(`limit="a b"`) != 1 {
			t.Errorf("want one warning, about the name that is not valid:\n%s", r.logs)
		}
	})
}

// If the minion dies after it has closed the limit and before it has settled, the other tasks wait, and the
// task comes back when the lease has ended. It starts when the limit is open.
func TestLimitReachedAtDeath(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		seen := newStarts()
		run := func(_ context.Context, a args) (int, error) {
			if seen.add(a.N) == 1 && a.N == 0 {
				return 0, task.LimitReached(time.Now().Add(time.Hour))
			}
			return a.N, nil
		}
		doomed := faulty.New(r.b.Broker)
		doomed.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Settle {
				doomed.Kill()
				return faulty.ErrUnavailable
			}
			return nil
		}})
		m := must(minion.New(doomed, minion.Logger(r.logs.logger())))
		if err := task.Handle(m, work, run); err != nil {
			t.Fatal(err)
		}
		first, second := r.send(0, task.Limit("api")), r.send(1, task.Limit("api"))
		r.start(m, 1)
		time.Sleep(time.Second)
		r.crew(1, run)
		r.want(first, broker.StateSucceeded, 2, 0)
		r.want(second, broker.StateSucceeded, 1, 0)
		r.near("the second attempt", seen.of(0)[1], time.Hour)
		r.near("the other task", seen.of(1)[0], time.Hour)
	})
}

// If the limit can't be closed, the task is snoozed all the same. A lost reply is no reason to give up.
func TestLimitReachedThroughFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		hooks func() faulty.Hooks
		other time.Duration // when another task with the limit starts
		warns int
	}{
		"the reply is lost": {func() faulty.Hooks {
			var once sync.Once
			return faulty.Hooks{After: func(op faulty.Op, _ int) (err error) {
				if op == faulty.CloseLimit {
					once.Do(func() { err = faulty.ErrLostReply })
				}
				return err
			}}
		}, time.Hour, 0},
		"never": {func() faulty.Hooks {
			return faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
				if op == faulty.CloseLimit {
					return faulty.ErrUnavailable
				}
				return nil
			}}
		}, 5 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.b.Set(tt.hooks())
				seen := newStarts()
				r.crew(1, func(_ context.Context, a args) (int, error) {
					if seen.add(a.N) == 1 && a.N == 0 {
						return 0, task.LimitReached(time.Now().Add(time.Hour))
					}
					return a.N, nil
				})
				first, second := r.send(0, task.Limit("api")), r.send(1, task.Limit("api"))
				r.want(first, broker.StateSucceeded, 2, 0)
				r.want(second, broker.StateSucceeded, 1, 0)
				if at := seen.of(0)[1]; at < time.Hour || at > time.Hour+time.Second {
					t.Errorf("the second attempt after %v, want an hour", at)
				}
				if at := seen.of(1)[0]; at < tt.other || at > tt.other+time.Second {
					t.Errorf("the other task after %v, want %v", at, tt.other)
				}
				if n := r.logs.count("a limit could not be closed"); n != tt.warns {
					t.Errorf("%d warnings, want %d:\n%s", n, tt.warns, r.logs)
				}
			})
		})
	}
}

// A time that has passed does not make the task run again at once, and does not open the limit. A task without a limit waits
// alone, and the log says so.
func TestLimitReachedInVain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		seen := newStarts()
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if seen.add(a.N) <= 3 {
				return 0, task.LimitReached(time.Now().Add(-time.Hour))
			}
			return a.N, nil
		}, minion.Retry(0, nil))
		r.want(r.send(0, task.Limit("api")), broker.StateSucceeded, 4, 0)
		for i, at := range seen.of(0) {
			r.near(fmt.Sprintf("attempt %d", i+1), at, time.Duration(i)*time.Second)
		}
		r.want(r.send(1), broker.StateSucceeded, 4, 0)
		if r.logs.count("no limit is closed") != 3 {
			t.Errorf("want a warning for each attempt of the task without a limit:\n%s", r.logs)
		}
	})
}

// A minion stores the limits of its program before it takes a task. A stored definition that is another one stays, and is
// logged once.
func TestDeclaredLimits(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		if err := r.arb.SetLimit(ctx, "default", limit.Concurrency("old", 3)); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []faulty.Op
		away := 3 // requests that do not reach the broker
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			mu.Lock()
			defer mu.Unlock()
			if op == faulty.AddLimit && away > 0 {
				away--
				return faulty.ErrUnavailable
			}
			order = append(order, op)
			return nil
		}})
		var now, most int
		c := r.crew(5, func(context.Context, args) (int, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return 0, nil
		}, minion.Limits("default", limit.Concurrency("old", 4)), minion.Limits("default", limit.Concurrency("new", 2)))
		var futs []*task.Future[int]
		for i := range 6 {
			futs = append(futs, r.send(i, task.Limit("new")))
		}
		for _, fut := range futs {
			r.want(fut, broker.StateSucceeded, 1, 0)
		}
		mu.Lock()
		if most != 2 {
			t.Errorf("%d tasks at once, want 2", most)
		}
		if set, take := slices.Index(order, faulty.AddLimit), slices.Index(order, faulty.Dequeue); set < 0 || take < set {
			t.Errorf("requests %v: want the limits stored before the first task is taken", order)
		}
		mu.Unlock()
		infos, err := r.arb.Limits(ctx, "default")
		if err != nil || len(infos) != 2 || infos[0].Most != 2 || infos[1].Most != 3 {
			t.Errorf("limits %+v, %v; want new with 2 and old with 3", infos, err)
		}
		if err := c.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if r.logs.count("level=ERROR") != 1 || r.logs.count("old: 4 at once") != 1 || r.logs.count("old: 3 at once") != 1 {
			t.Errorf("want one error with both definitions:\n%s", r.logs)
		}
		if r.logs.count("broker out of reach") != 1 || r.logs.count("broker is back") != 1 {
			t.Errorf("want one line for the outage and one for its end:\n%s", r.logs)
		}
	})
}

// A minion that is stopped while it declares its limits returns.
func TestStopWhileDeclaring(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.AddLimit {
				return faulty.ErrUnavailable
			}
			return nil
		}})
		c := r.crew(1, func(context.Context, args) (int, error) { return 0, nil }, minion.Limits("default", limit.Concurrency("x", 1)))
		time.Sleep(time.Minute)
		if err := c.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if r.b.Calls(faulty.Consume) != 0 {
			t.Error("the minion has registered before its limits were stored")
		}
	})
}

// New refuses limits that would have no effect.
func TestLimitsRefused(t *testing.T) {
	b := memory.New()
	defer func() { _ = b.Close() }()
	for want, opts := range map[string][]minion.Option{
		`Limits("mails"): the minion does not serve this queue, only default`: {minion.Limits("mails", limit.Concurrency("x", 1))},
		`Limits("default"): no limit`:                                         {minion.Limits("default")},
		`Limits("default"): limit x: invalid: it is declared twice`:           {minion.Limits("default", limit.Concurrency("x", 1)), minion.Limits("default", limit.Concurrency("x", 2))},
		`Limits("q"): limit x: invalid: Concurrency with 0`:                   {minion.Limits("q", limit.Concurrency("x", 0)), minion.Queue("q")},
	} {
		if _, err := minion.New(b, opts...); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want ErrInvalid with %q", err, want)
		}
	}
}
