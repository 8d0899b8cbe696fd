package arbiter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// pipeMinion runs the task of the original's test of pipes: it adds its arguments to upstream, and records them.
func pipeMinion(r *rig, seen *[]codec.Arguments) {
	m := must(minion.New(r.b, minion.Logger(silent), minion.DrainTimeout(0)))
	err := task.HandleFunc(m, "simple_add", func(_ context.Context, a codec.Arguments) (any, error) {
		*seen = append(*seen, a)
		total := int64(0)
		for _, v := range a.Positional {
			total += v.(int64)
		}
		if a.Named["stop"] == true {
			return nil, task.NoRetry(errBad)
		}
		if up, ok := a.Named["upstream"].(int64); ok {
			total += up
		}
		return total, nil
	})
	if err != nil {
		r.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), 2) }()
	r.Cleanup(func() { _ = m.Close() })
}

// As arbiter.pipe(tasks, persistent_args, persistent_kwargs) in the original, with 20 steps.
func TestPipe(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var seen []codec.Arguments
		pipeMinion(r, &seen)
		var steps []task.Bound
		for i := range 20 {
			steps = append(steps, arbiter.Named("simple_add", arbiter.Args(i), arbiter.KwArgs(map[string]any{"own": i})))
		}
		p, err := r.arb.Pipe(t.Context(), steps,
			arbiter.PersistentArgs(100), arbiter.PersistentKwArgs(map[string]any{"own": -1, "more": "x"}))
		if err != nil || p.ID().IsZero() {
			t.Fatal(err)
		}
		i, want := 0, int64(0)
		for st, err := range p.WaitForMembers(t.Context()) {
			want += int64(i) + 100
			got, bad := st.Result()
			if got != want || err != nil || bad != nil {
				t.Fatalf("step %d gives %v, want %d; %v, %v", i, got, want, err, bad)
			}
			i++
		}
		if i != 20 || len(seen) != 20 {
			t.Fatalf("%d steps were done, %d ran", i, len(seen))
		}
		if _, ok := seen[0].Named["upstream"]; ok {
			t.Errorf("the first step gets %v", seen[0])
		}
		if a := seen[7]; a.Named["own"] != int64(7) || a.Named["more"] != "x" || !slices.Equal(a.Positional, []any{int64(100), int64(7)}) {
			t.Errorf("step 7 gets %v", a)
		}
		var result int64
		if err := p.Result(t.Context(), &result); err != nil || result != want {
			t.Errorf("the pipe gives %d, %v", result, err)
		}
		st, err := p.Status(t.Context())
		text, bad := json.Marshal(st)
		if err != nil || bad != nil || !strings.HasPrefix(string(text), fmt.Sprintf(`{"task_type":"pipe","state":"done","result":%d,`, want)) {
			t.Errorf("%s, %v, %v", text, err, bad)
		}
	})
}

// A failed step stops the pipe.
func TestPipeStops(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var seen []codec.Arguments
		pipeMinion(r, &seen)
		one := arbiter.Named("simple_add", arbiter.Args(1))
		stop := arbiter.Named("simple_add", arbiter.KwArgs(map[string]any{"stop": true}))
		p, err := r.arb.Pipe(t.Context(), []task.Bound{one, stop, one, one})
		if err != nil {
			t.Fatal(err)
		}
		var got []broker.State
		for st, err := range p.WaitForMembers(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, st.State)
		}
		if !slices.Equal(got, []broker.State{broker.StateSucceeded, broker.StateFailed, broker.StateCanceled, broker.StateCanceled}) {
			t.Errorf("steps ended as %v", got)
		}
		if err := p.Result(t.Context(), nil); !errors.Is(err, task.ErrFlowFailed) || !strings.Contains(err.Error(), "member 1 (simple_add) failed: bad") {
			t.Errorf("error %v", err)
		}
		if len(seen) != 2 {
			t.Errorf("%d steps ran", len(seen))
		}
	})
}

func TestPipeRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for what, steps := range map[string][]task.Bound{
			"a nil one":      {arbiter.Named("a"), nil},
			"count":          {arbiter.Named("a", arbiter.Count(2))},
			"bad name":       {arbiter.Named("a b")},
			"a delay":        {arbiter.Named("a"), arbiter.Named("b", arbiter.Options(task.Delay(time.Second)))},
			"upstream twice": {arbiter.Named("a"), plus(1).Bind(2).With(task.Delay(time.Second))},
		} {
			if _, err := r.arb.Pipe(t.Context(), steps); !errors.Is(err, task.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// A step that can't get the result before it becomes a dead letter that says so.
func TestPipeWithoutUpstream(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var seen []codec.Arguments
		pipeMinion(r, &seen)
		one := arbiter.Named("simple_add", arbiter.Args(1))
		own := arbiter.Named("simple_add", arbiter.KwArgs(map[string]any{"upstream": 1}))
		p, err := r.arb.Pipe(t.Context(), []task.Bound{one, own})
		if err != nil {
			t.Fatal(err)
		}
		err = p.Result(t.Context(), nil)
		if !errors.Is(err, task.ErrNoUpstream) || !strings.Contains(err.Error(), "parameter upstream: msgpack: upstream: given twice") {
			t.Errorf("error %v", err)
		}
		if len(seen) != 1 {
			t.Errorf("%d steps ran", len(seen))
		}
	})
}

// Results that are too large together fail the task that would get them, and no other.
func TestTooLargeTogether(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(silent), minion.DrainTimeout(0)))
		large := task.Define[args, string]("large")
		type joinArgs struct {
			Upstream []string `arbiter:"upstream"`
		}
		join := task.Define[joinArgs, int]("join")
		if err := errors.Join(
			task.Handle(m, large, func(_ context.Context, a args) (string, error) { return strings.Repeat("x", a.N), nil }),
			task.Handle(m, join, func(_ context.Context, a joinArgs) (int, error) { return len(a.Upstream), nil }),
		); err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(context.Background(), 2) }()
		t.Cleanup(func() { _ = m.Close() })
		calls := []task.Call[string]{large.Bind(args{60_000}), large.Bind(args{60_000})}
		step := task.NewStep[[]string](join, "upstream", nil)

		_, err := run(r, task.All(calls...))
		if !errors.Is(err, task.ErrTooLarge) || !strings.Contains(err.Error(), "results of 2 members of 120011 bytes or more, the limit is 100000") {
			t.Errorf("as a call: %v", err)
		}
		_, err = run(r, task.Then(task.All(calls...), step))
		if !errors.Is(err, task.ErrNoUpstream) || !strings.Contains(err.Error(), "the limit is 100000") {
			t.Errorf("with a step: %v", err)
		}
		g, fut, err := arbiter.GroupThen(t.Context(), r.arb, calls, step)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := await(t, fut); !errors.Is(err, task.ErrNoUpstream) || !strings.Contains(err.Error(), "results of 2 members") {
			t.Errorf("with a callback: %v", err)
		}
		// The minion finds the reason in the metadata of the callback. The caller did not attach it, so no status shows it.
		if st, err := r.arb.Status(t.Context(), fut.ID()); st.State != broker.StateFailed || st.Meta != nil || err != nil {
			t.Errorf("the status of the callback is %s with the metadata %v, %v; want none", st.State, st.Meta, err)
		}
		if got, err := g.Results(t.Context()); len(got) != 2 || len(got[1]) != 60_000 || err != nil {
			t.Errorf("one by one: %d, %v", len(got), err)
		}
	}, memory.Limits(brokerLimits(100_000)))
}

// A pipe of 10,000 steps, made by nested calls of Then, uses bounded memory.
func TestLongPipe(t *testing.T) {
	const steps = 10_000
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(2, echo)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		call := work.Bind(args{1})
		for range steps - 1 {
			call = task.Then(call, plus(1))
		}
		n, err := run(r, call)
		if n != steps || err != nil {
			t.Errorf("the pipe gives %d, %v", n, err)
		}
		if j.count("add") != steps-1 {
			t.Errorf("%d steps ran", j.count("add"))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 100<<20 {
			t.Errorf("the heap has grown by %d MiB", grown>>20)
		}
		runtime.KeepAlive(call)
	})
}

// A group of 20,000 members uses bounded memory.
func TestLargeGroup(t *testing.T) {
	const members = 20_000
	bubble(t, func(t *testing.T, r *rig) {
		j := r.flowCrew(50, echo)
		calls := make([]task.Call[int], members)
		for i := range calls {
			calls[i] = work.Bind(args{i})
		}
		g, fut, err := arbiter.GroupThen(t.Context(), r.arb, calls, sumStep())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := await(t, fut); n != members*(members-1)/2 || err != nil {
			t.Errorf("the sum is %d, %v", n, err)
		}
		got, err := g.Results(t.Context())
		if len(got) != members || got[members-1] != members-1 || err != nil {
			t.Errorf("%d results, %v", len(got), err)
		}
		if j.count("sum") != 1 || j.count("work") != members {
			t.Errorf("%d members, %d callbacks", j.count("work"), j.count("sum"))
		}
		_, f := r.flowOf(g.ID())
		if f.Done != members+1 || f.Succeeded != members || len(f.Tasks) != arbiter.MaxStatusTasks+1 {
			t.Errorf("%d done, %d listed", f.Done, len(f.Tasks))
		}
	})
}

// As in the original, the persistent arguments come before a step's own. The function of this test gives another result if
// they are exchanged.
func TestPersistentArgsComeFirst(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(silent), minion.DrainTimeout(0)))
		err := task.HandleFunc(m, "subtract", func(_ context.Context, a codec.Arguments) (any, error) {
			up, _ := a.Named["upstream"].(int64)
			return up + a.Positional[0].(int64) - a.Positional[1].(int64), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(context.Background(), 1) }()
		t.Cleanup(func() { _ = m.Close() })
		steps := []task.Bound{arbiter.Named("subtract", arbiter.Args(1)), arbiter.Named("subtract", arbiter.Args(2))}
		p, err := r.arb.Pipe(t.Context(), steps, arbiter.PersistentArgs(10))
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := p.Result(t.Context(), &n); err != nil || n != 9+8 {
			t.Errorf("the pipe gives %d, want 17; %v", n, err)
		}
	})
}

// Options that are added up are added up when they are given twice, and the caller's maps stay unchanged.
func TestPipeOptionsTwice(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var seen []codec.Arguments
		pipeMinion(r, &seen)
		first := map[string]any{"a": 1, "b": 1}
		p, err := r.arb.Pipe(t.Context(), []task.Bound{arbiter.Named("simple_add", arbiter.Args(5), arbiter.Args(6), arbiter.KwArgs(map[string]any{"b": 3}))},
			arbiter.PersistentArgs(1, 2), arbiter.PersistentArgs(3), arbiter.PersistentKwArgs(first), arbiter.PersistentKwArgs(map[string]any{"a": 2, "c": 2}))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Result(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		want := codec.Arguments{
			Positional: []any{int64(1), int64(2), int64(3), int64(5), int64(6)},
			Named:      map[string]any{"a": int64(2), "b": int64(3), "c": int64(2)},
		}
		if len(seen) != 1 || !reflect.DeepEqual(seen[0], want) {
			t.Errorf("the step gets %v, want %v", seen, want)
		}
		if !reflect.DeepEqual(first, map[string]any{"a": 1, "b": 1}) {
			t.Errorf("the caller's map is now %v", first)
		}
	})
}
