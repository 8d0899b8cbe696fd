package arbiter_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The tasks of the tests of flows.
type (
	addArgs struct {
		Upstream int `arbiter:"upstream"`
		N        int `arbiter:"n"`
	}
	sumArgs struct {
		Upstream []int `arbiter:"upstream"`
	}
	countArgs struct {
		Upstream []*int `arbiter:"upstream"`
	}
)

var (
	plusTask  = task.Define[addArgs, int]("add")
	sumTask   = task.Define[sumArgs, int]("sum")
	countTask = task.Define[countArgs, int]("count")
	noteTask  = task.Define[args, task.None]("note")
)

func plus(n int) task.Step[int, int] {
	return task.NewStep[int](plusTask, "upstream", map[string]any{"n": n})
}

func sumStep() task.Step[[]int, int] { return task.NewStep[[]int](sumTask, "upstream", nil) }

func countStep() task.Step[[]*int, int] { return task.NewStep[[]*int](countTask, "upstream", nil) }

// journal counts the runs of each handler, and lists the numbers that handlers note.
type journal struct {
	mu    sync.Mutex
	ran   map[string]int
	notes []int
}

func (j *journal) add(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ran == nil {
		j.ran = make(map[string]int)
	}
	j.ran[what]++
}

func (j *journal) note(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.notes = append(j.notes, n)
}

func (j *journal) noted() []int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]int(nil), j.notes...)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ran[what]
}

// flowCrew starts a minion with the tasks of the tests of flows. The task work calls fn.
func (r *rig) flowCrew(slots int, fn func(context.Context, args) (int, error), opts ...minion.Option) *journal {
	r.Helper()
	m, j := r.newFlowCrew(fn, opts...)
	go func() {
		if err := m.Run(context.Background(), slots); err != nil && !errors.Is(err, task.ErrClosed) && !errors.Is(err, minion.ErrAbandoned) && !errors.Is(err, task.ErrUnavailable) {
			r.Errorf("run: %v", err)
		}
	}()
	r.Cleanup(func() { _ = m.Close() })
	return j
}

// newFlowCrew returns such a minion without running it.
func (r *rig) newFlowCrew(fn func(context.Context, args) (int, error), opts ...minion.Option) (*minion.Minion, *journal) {
	r.Helper()
	j := &journal{}
	m := must(minion.New(r.b, append([]minion.Option{minion.Logger(silent), minion.DrainTimeout(0)}, opts...)...))
	err := errors.Join(
		task.Handle(m, work, func(ctx context.Context, a args) (int, error) {
			j.add("work")
			return fn(ctx, a)
		}),
		task.Handle(m, plusTask, func(_ context.Context, a addArgs) (int, error) {
			j.add("add")
			if a.N < 0 {
				return 0, task.NoRetry(errBad)
			}
			return a.Upstream + a.N, nil
		}),
		task.Handle(m, sumTask, func(_ context.Context, a sumArgs) (int, error) {
			j.add("sum")
			total := 0
			for _, n := range a.Upstream {
				total += n
			}
			return total, nil
		}),
		task.Handle(m, countTask, func(_ context.Context, a countArgs) (int, error) {
			j.add("count")
			n := 0
			for _, v := range a.Upstream {
				if v != nil {
					n++
				}
			}
			return n, nil
		}),
		task.Handle(m, noteTask, func(_ context.Context, a args) (task.None, error) {
			j.add("note")
			j.note(a.N)
			return task.None{}, nil
		}),
	)
	if err != nil {
		r.Fatal(err)
	}
	return m, j
}

// await waits for the result of a call, with a time limit.
func await[R any](t testing.TB, fut *task.Future[R]) (R, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 1000*time.Hour)
	defer cancel()
	v, err := fut.Result(ctx)
	if ctx.Err() != nil {
		t.Fatalf("%s: %v", fut.ID(), err)
	}
	return v, err
}

// run sends a call and waits for its result.
func run[R any](r *rig, call task.Call[R]) (R, error) {
	r.Helper()
	fut, err := call.Send(context.Background(), r.arb)
	if err != nil {
		r.Fatalf("send: %v", err)
	}
	return await(r, fut)
}

// slowly makes each write to the broker take the time d.
func slowly(b *faulty.Broker, d time.Duration) {
	b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
		if op == faulty.Enqueue || op == faulty.OpenFlow {
			time.Sleep(d)
		}
		return nil
	}})
}

func brokerLimits(n int) broker.Limits { return broker.Limits{Payload: n, Result: n} }
