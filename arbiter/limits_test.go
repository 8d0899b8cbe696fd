package arbiter_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/limit"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// An operator sets, reads, changes and removes limits and weights of a queue that has no task yet.
func TestLimits(t *testing.T) {
	onBrokers(t, func(t *testing.T, _ broker.Broker, arb *arbiter.Arbiter) {
		ctx := t.Context()
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		want := func(defs ...string) {
			t.Helper()
			infos, err := arb.Limits(ctx, "q")
			check(err)
			var got []string
			for _, info := range infos {
				got = append(got, limit.Of(info.Limit).String())
			}
			if !slices.Equal(got, defs) {
				t.Errorf("limits %q, want %q", got, defs)
			}
		}
		want()
		check(arb.SetLimit(ctx, "q", limit.Rate("mail", 100, time.Second)))
		check(arb.SetLimit(ctx, "q", limit.ForKey("acme", limit.Rate("mail", 5, time.Minute, limit.Burst(3)))))
		check(arb.SetLimit(ctx, "q", limit.Concurrency("render", 10)))
		check(arb.SetLimit(ctx, "other", limit.Concurrency("other", 1)))
		want("mail: 100 per 1s, burst 5", `mail for key "acme": 5 per 1m0s, burst 3`, "render: 10 at once")
		check(arb.SetLimit(ctx, "q", limit.Paused(limit.Concurrency("render", 11))))
		check(arb.RemoveLimit(ctx, "q", "mail", ""))
		check(arb.RemoveLimit(ctx, "q", "nothing", ""))
		want(`mail for key "acme": 5 per 1m0s, burst 3`, "render: 11 at once, paused")

		err := arb.DeclareLimits(ctx, "q", limit.Concurrency("render", 12), limit.Concurrency("fresh", 1))
		var conflict *limit.ConflictError
		if !errors.As(err, &conflict) || conflict.Queue != "q" || conflict.Stored.Most != 11 || conflict.Declared.Most != 12 {
			t.Errorf("a declaration that differs: error %v, want a ConflictError", err)
		}
		check(arb.DeclareLimits(ctx, "q", limit.Concurrency("render", 11)))
		want("fresh: 1 at once", `mail for key "acme": 5 per 1m0s, burst 3`, "render: 11 at once, paused")

		check(arb.SetWeight(ctx, "q", "acme", 3))
		check(arb.SetWeight(ctx, "q", "other", 2))
		check(arb.SetWeight(ctx, "q", "other", 1))
		if weights, err := arb.Weights(ctx, "q"); err != nil || !maps.Equal(weights, map[string]int{"acme": 3}) {
			t.Errorf("weights %v, %v; want acme with 3", weights, err)
		}
		if err := arb.ResumeSequence(ctx, "q", "s"); !errors.Is(err, task.ErrNotFound) || !strings.Contains(err.Error(), `resume sequence "s" of queue q`) {
			t.Errorf("a sequence that is not halted: error %v", err)
		}
		for want, err := range map[string]error{
			"limit x: invalid: Concurrency with 0": arb.SetLimit(ctx, "q", limit.Concurrency("x", 0)),
			"set limit x of queue a b":             arb.SetLimit(ctx, "a b", limit.Concurrency("x", 1)),
			"remove limit a b of queue q":          arb.RemoveLimit(ctx, "q", "a b", ""),
			"close limit a b of queue q":           arb.CloseLimit(ctx, "q", "a b", "", time.Second),
			"weight 101, want 1 to 100":            arb.SetWeight(ctx, "q", "k", 101),
			"declared twice":                       arb.DeclareLimits(ctx, "q", limit.Concurrency("x", 1), limit.Concurrency("x", 2)),
		} {
			if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want ErrInvalid with %q", err, want)
			}
		}
		_ = arb.Close()
		if err := arb.SetLimit(ctx, "q", limit.Concurrency("x", 1)); !errors.Is(err, task.ErrClosed) {
			t.Errorf("after Close: error %v", err)
		}
	})
}

// order runs all tasks of the default queue in one slot and returns the numbers in the order in which they started.
func order(t *testing.T, b broker.Broker, futs []*task.Future[int], opts ...minion.Option) []int {
	t.Helper()
	var mu sync.Mutex
	var got []int
	m := must(minion.New(b, append([]minion.Option{minion.Logger(silent)}, opts...)...))
	err := task.Handle(m, work, func(_ context.Context, a args) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, a.N)
		return a.N, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- m.Run(context.Background(), 1) }()
	for _, fut := range futs {
		if _, err := fut.Result(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return got
}

// The options of calls decide the order in which tasks start, in a queue with partitions, too.
func TestLaneOrder(t *testing.T) {
	onBrokers(t, func(t *testing.T, b broker.Broker, arb *arbiter.Arbiter) {
		var futs []*task.Future[int]
		send := func(n int, opts ...task.Option) {
			t.Helper()
			fut, err := work.With(opts...).Apply(t.Context(), arb, args{n})
			if err != nil {
				t.Fatal(err)
			}
			futs = append(futs, fut)
		}
		for n := range 6 {
			send(n, task.Priority(3), task.FairKey("large"))
		}
		send(10, task.Priority(3), task.FairKey("small"), task.Unique("small"))
		send(11, task.Priority(3), task.FairKey("small"))
		send(20, task.Priority(9))
		send(21, task.Priority(9))
		_, err := work.With(task.Priority(3), task.Unique("small")).Apply(t.Context(), arb, args{12})
		if !errors.Is(err, task.ErrDuplicate) {
			t.Errorf("a second task with a lane and the same unique key: error %v, want ErrDuplicate", err)
		}
		got := order(t, b, futs)
		at := func(n int) int { return slices.Index(got, n) }
		if len(got) != len(futs) || at(20) != 0 || at(21) != 1 {
			t.Errorf("order %v, want 20 and 21 first", got)
		}
		if at(10) > 4 || at(11) > 6 || at(10) > at(11) {
			t.Errorf("order %v, want 10 and 11 among the turns of the other key", got)
		}
		if large := slices.DeleteFunc(slices.Clone(got), func(n int) bool { return n > 5 }); !slices.IsSorted(large) {
			t.Errorf("order %v, want the tasks of a key in the order in which they were sent", got)
		}
	})
}

// A sequence runs in the order in which its tasks were sent, in many slots. A failure halts it, until it is resumed.
func TestSequence(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var mu sync.Mutex
		var got []int
		r.crew(5, func(ctx context.Context, a args) (int, error) {
			time.Sleep(time.Minute)
			mu.Lock()
			defer mu.Unlock()
			got = append(got, a.N)
			return moody(ctx, a)
		})
		stop := task.Sequence("s", task.StopOnFailure())
		var futs []*task.Future[int]
		for _, n := range []int{1, 2, 0, 3, 4} { // the task 0 fails
			futs = append(futs, r.send(n, stop))
		}
		began := time.Now()
		other := r.send(9, task.Sequence("other"))
		if _, err := other.Result(t.Context()); err != nil {
			t.Error(err)
		}
		r.near("another sequence", began, time.Minute, time.Second)
		time.Sleep(time.Hour)
		mu.Lock()
		if fmt.Sprint(got) != "[1 9 2 0]" && fmt.Sprint(got) != "[9 1 2 0]" {
			t.Errorf("order %v, want 1, 2, 0 and then nothing", got)
		}
		mu.Unlock()
		if err := r.arb.ResumeSequence(t.Context(), "default", "s"); err != nil {
			t.Error(err)
		}
		for _, fut := range futs[3:] {
			if _, err := fut.Result(t.Context()); err != nil {
				t.Error(err)
			}
		}
		r.near("the end", began, time.Minute+time.Hour+2*time.Minute, 2*time.Second)
	})
}

// A limit holds back the tasks that name it, and no others. Its use shows in Limits. A closed limit opens again.
func TestLimitOfCalls(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.arb.SetLimit(t.Context(), "default", limit.Concurrency("render", 3)); err != nil {
			t.Fatal(err)
		}
		r.crew(20, slow)
		began := time.Now()
		var futs []*task.Future[int]
		for range 4 {
			futs = append(futs, r.send(60, task.Limit("render", task.Costs(2))))
		}
		one := r.send(60, task.Limit("render"))
		plain := r.send(60)
		time.Sleep(time.Second)
		infos, err := r.arb.Limits(t.Context(), "default")
		if err != nil || len(infos) != 1 || infos[0].InUse != 3 {
			t.Errorf("limits %+v, %v; want a cost of 3 in use", infos, err)
		}
		for _, fut := range []*task.Future[int]{one, plain} {
			if _, err := fut.Result(t.Context()); err != nil {
				t.Error(err)
			}
			r.near("a task with a small cost, and one without the limit", began, time.Minute, time.Second)
		}
		for _, fut := range futs {
			if _, err := fut.Result(t.Context()); err != nil {
				t.Error(err)
			}
		}
		r.near("the end", began, 4*time.Minute, time.Second)

		if err := r.arb.CloseLimit(t.Context(), "default", "api", "acme", time.Hour); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		held, free := r.send(0, task.Limit("api", task.KeyedBy("acme"))), r.send(0, task.Limit("api"))
		if _, err := free.Result(t.Context()); err != nil {
			t.Error(err)
		}
		r.near("a task without the key", began, 0, time.Second)
		if _, err := held.Result(t.Context()); err != nil {
			t.Error(err)
		}
		r.near("the task with the key", began, time.Hour, time.Second)
	})
}

// The members of a squad can't have lanes. The error comes before slots are reserved, and names the remedy.
func TestSquadWithLane(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(3, echo)
		time.Sleep(time.Second) // until the minion has registered
		urgent := work.With(task.Priority(7))
		_, err := arbiter.SquadOf(t.Context(), r.arb, []task.Call[int]{urgent.Bind(args{1}), urgent.Bind(args{2})})
		if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "task.NoLane") {
			t.Errorf("error %v, want ErrInvalid with the remedy", err)
		}
		squad, err := arbiter.SquadOf(t.Context(), r.arb, []task.Call[int]{urgent.With(task.NoLane()).Bind(args{1})})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := squad.Results(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
