package minion_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// fill sends n tasks to each queue before a minion starts.
func (r *rig) fill(n int, queues ...string) {
	r.Helper()
	for _, q := range queues {
		calls := make([]task.Call[int], n)
		for i := range calls {
			calls[i] = work.With(task.Queue(q)).Bind(args{i})
		}
		if _, err := task.SendAll(context.Background(), r.arb, calls...); err != nil {
			r.Fatal(err)
		}
	}
}

func TestStrictQueues(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.fill(100, "low", "high", "middle")
		var order []string
		r.crew(1, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			order = append(order, info.Queue)
			return 0, nil
		}, minion.Queues("high", "middle", "low"))
		synctest.Wait()
		want := slices.Concat(slices.Repeat([]string{"high"}, 100), slices.Repeat([]string{"middle"}, 100), slices.Repeat([]string{"low"}, 100))
		if !slices.Equal(order, want) {
			t.Errorf("the order was %v", order)
		}
	})
}

func TestWeightedQueues(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const n = 9000
		weights := map[string]int{"a": 6, "b": 3, "c": 1}
		r.fill(n, "a", "b", "c")
		var mu sync.Mutex
		var order []string
		r.crew(3, func(ctx context.Context, _ args) (int, error) {
			info, _ := task.FromContext(ctx)
			mu.Lock()
			order = append(order, info.Queue)
			mu.Unlock()
			return 0, nil
		}, minion.Weighted(weights))
		synctest.Wait()
		if len(order) != 3*n {
			t.Fatalf("%d tasks ran, want %d", len(order), 3*n)
		}
		counts := map[string]int{}
		for _, q := range order[:n] { // as long as all queues have tasks
			counts[q]++
		}
		for q, w := range weights {
			if got, want := float64(counts[q])/n, float64(w)/10; math.Abs(got-want) > 0.04 {
				t.Errorf("queue %s had a share of %.3f, want about %.1f", q, got, want)
			}
		}
	})
}

// A minion never holds more long tasks than it has slots.
func TestDemandDriven(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var now, most atomic.Int64
		r.crew(7, func(context.Context, args) (int, error) {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
			now.Add(-1)
			return 0, nil
		})
		r.fill(500, "default")
		for range 100 {
			time.Sleep(300 * time.Millisecond)
			synctest.Wait() // finished tasks are settled
			q, err := r.b.Broker.(broker.Inspector).Queues(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if q[0].Running > 7 {
				t.Fatalf("%d tasks are held by 7 slots", q[0].Running)
			}
		}
		if most.Load() != 7 {
			t.Errorf("up to %d ran at once, want 7", most.Load())
		}
		w, err := r.arb.Workers(t.Context())
		if err != nil || w["default"].Total != 7 {
			t.Errorf("workers: %v, %v", w, err)
		}
	})
}

// While a settle request is under way, further settlements collect in the next batch.
func TestSettlesAreBatched(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.b.Set(faulty.Hooks{After: func(op faulty.Op, _ int) error {
			if op == faulty.Settle {
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		}})
		r.fill(5000, "default")
		r.crew(100, func(context.Context, args) (int, error) {
			time.Sleep(time.Millisecond)
			return 0, nil
		})
		time.Sleep(time.Minute)
		calls, items := r.b.Calls(faulty.Settle), r.b.Items(faulty.Settle)
		if items != 5000 || calls > 100 {
			t.Errorf("%d requests to settle %d tasks", calls, items)
		}
	})
}

// A minion whose settlements are not answered takes a bounded number of tasks.
func TestUnsettledIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var o out
		o.down.Store(true)
		r.b.Set(o.hooks(faulty.Settle))
		var runs atomic.Int64
		r.crew(10, func(context.Context, args) (int, error) { runs.Add(1); return 0, nil })
		r.fill(5000, "default")
		time.Sleep(time.Minute)
		if n := runs.Load(); n > broker.MaxBatch+10 {
			t.Errorf("%d tasks ran while none could be settled", n)
		}
		o.down.Store(false)
		time.Sleep(time.Minute)
		if n := runs.Load(); n != 5000 {
			t.Errorf("%d runs in the end, want 5000", n)
		}
	})
}

func TestMiddleware(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var order []string
		type key struct{}
		wrap := func(name string) minion.Middleware {
			return func(next minion.Handler) minion.Handler {
				return func(ctx context.Context) error {
					info, ok := task.FromContext(ctx)
					order = append(order, name+" "+info.Name)
					if !ok {
						t.Error("no info")
					}
					err := next(context.WithValue(ctx, key{}, name))
					order = append(order, name+" end")
					return err
				}
			}
		}
		translate := func(next minion.Handler) minion.Handler {
			return func(ctx context.Context) error {
				if err := next(ctx); errors.Is(err, errBad) {
					return task.NoRetry(err)
				}
				return nil
			}
		}
		r.crew(1, func(ctx context.Context, a args) (int, error) {
			order = append(order, "handler in "+ctx.Value(key{}).(string))
			if a.N == 0 {
				return 0, errBad
			}
			return a.N, nil
		}, minion.Use(wrap("a"), wrap("b")), minion.Use(translate))
		if n, err := r.result(r.send(5)); n != 5 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		want := []string{"a work", "b work", "handler in b", "b end", "a end"}
		if !slices.Equal(order, want) {
			t.Errorf("order %q, want %q", order, want)
		}
		r.want(r.send(0), broker.StateFailed, 1, 0)
	})
}

// Middleware that calls next with a foreign context gets an error, and nothing panics.
func TestMiddlewareForeignContext(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, nothing, minion.Use(func(next minion.Handler) minion.Handler {
			return func(context.Context) error { return next(context.Background()) }
		}))
		if _, err := r.result(r.send(1)); err == nil || !strings.Contains(err.Error(), "not derived from its own") {
			t.Errorf("result: %v", err)
		}
	})
}

func TestUntypedHandler(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
		err := task.HandleFunc(m, "echo", func(_ context.Context, a codec.Arguments) (any, error) {
			return map[string]any{"positional": a.Positional, "named": a.Named}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r.start(m, 1)
		done, err := r.arb.ApplySync(t.Context(), "echo", arbiter.Args(1, "two"), arbiter.KwArgs(map[string]any{"k": 3.5}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := done[0].Result()
		m1, _ := got.(map[string]any)
		pos, _ := m1["positional"].([]any)
		named, _ := m1["named"].(map[string]any)
		if err != nil || len(pos) != 2 || pos[0] != int64(1) || pos[1] != "two" || named["k"] != 3.5 {
			t.Errorf("result: %v, %v", got, err)
		}
	})
}

// Every log line about a task names it.
func TestLogs(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if a.N == 0 {
				return 0, errBad
			}
			return a.N, nil
		}, minion.Retry(1, task.Constant(time.Second)))
		good, bad := r.send(1), r.send(0)
		_, _ = r.result(good)
		_, _ = r.result(bad)
		lines := strings.Split(strings.TrimSpace(r.logs.String()), "\n")
		find := func(parts ...string) {
			t.Helper()
			for _, line := range lines {
				ok := true
				for _, p := range append(parts, "task.name=work", "queue=default", "duration=") {
					ok = ok && strings.Contains(line, p)
				}
				if ok {
					return
				}
			}
			t.Errorf("no line with %q in:\n%s", parts, r.logs)
		}
		find("level=DEBUG", "succeeded", "attempt=1", "task.id="+good.ID().String())
		find("level=WARN", "retried", "attempt=1", "error=bad", "task.id="+bad.ID().String())
		find("level=ERROR", "failed", "attempt=2", "error=bad", "task.id="+bad.ID().String())
	})
}

// Many tasks with random failures, retries and kills: each has exactly one result.
func TestManyTasks(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const n = 10_000
		var returned atomic.Int64 // prefetched and given back
		r.b.Set(faulty.Hooks{Refuse: func(st broker.Settlement) error {
			if st.Verb == broker.VerbGiveBack {
				returned.Add(1)
			}
			return nil
		}})
		handler := func(ctx context.Context, a args) (int, error) {
			info, _ := task.FromContext(ctx)
			if rand.IntN(2) == 0 {
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			}
			switch {
			case a.N%100 == 0:
				return 0, task.NoRetry(errBad)
			case info.Retried < a.N%4:
				if rand.IntN(3) == 0 {
					panic("now and then")
				}
				return 0, errBad
			}
			return a.N, nil
		}
		for range 3 {
			r.crew(20, handler, minion.Retry(5, task.Constant(100*time.Millisecond)))
		}
		calls := make([]task.Call[int], n)
		for i := range calls {
			calls[i] = work.Bind(args{i})
		}
		futs, err := task.SendAll(t.Context(), r.arb, calls...)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range 50 {
			wg.Go(func() {
				for i := w; i < n; i += 50 {
					got, err := r.result(futs[i])
					if bad := i%100 == 0; bad != (err != nil) || !bad && got != i {
						t.Errorf("task %d: %d, %v", i, got, err)
					}
				}
			})
		}
		wg.Wait()
		q, err := r.b.Broker.(broker.Inspector).Queues(t.Context())
		if err != nil || q[0].Pending+q[0].Running+q[0].Scheduled != 0 || q[0].Dead != n/100 {
			t.Errorf("left in the queue: %+v, %v", q, err)
		}
		// Each attempt was settled once.
		want := n + int(returned.Load())
		for i := range n {
			if i%100 != 0 {
				want += i % 4
			}
		}
		if got := r.b.Items(faulty.Settle); got != want {
			t.Errorf("%d settlements, want %d", got, want)
		}
	})
}
