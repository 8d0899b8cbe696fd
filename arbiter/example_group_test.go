package arbiter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/task"
)

// Total adds up the results of a group.
//
//arbiter:task name=total
func Total(_ context.Context, upstream []int) (int, error) {
	total := 0
	for _, n := range upstream {
		total += n
	}
	return total, nil
}

// Increase adds n to the result of the step before it in a pipe.
//
//arbiter:task name=increase
func Increase(_ context.Context, upstream, n int) (int, error) { return upstream + n, nil }

// A group of calls, with a callback and a finalizer. All of it is in the broker: it goes on even if this process dies right
// after Group has returned.
func ExampleArbiter_Group() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	g, err := arb.Group(ctx, []task.Bound{AddTask.Bind(1, 2), TotalTask.Bind([]int{3, 4})},
		arbiter.Callback(AddTask.Bind(10, 20)),
		arbiter.Finalizer(AddTask.Bind(100, 200), time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	done := 0
	for st, err := range g.WaitForMembers(ctx) {
		if err != nil || st.State != broker.StateSucceeded {
			log.Fatal(st, err)
		}
		done++
	}
	var n int
	err = g.Result(ctx, &n) // the result of the callback; the finalizer is done as well
	fmt.Println(done, n, err)

	// Output: 2 30 <nil>
}

// A group of calls with one result type, and its results in the order given.
func ExampleGroupOf() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	g, err := arbiter.GroupOf(ctx, arb, []task.Call[int]{AddTask.Bind(1, 2), AddTask.Bind(3, 4)}, arbiter.Collect())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(g.Results(ctx))

	// Output: [3 7] <nil>
}

// A callback that gets the results of all members. It compiles only if the types fit.
func ExampleGroupThen() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	calls := []task.Call[int]{AddTask.Bind(1, 2), AddTask.Bind(3, 4), AddTask.Bind(5, 6)}
	_, total, err := arbiter.GroupThen(ctx, arb, calls, TotalTask.Step())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(total.Result(ctx))

	// Output: 21 <nil>
}

// The status of a group has the keys of the original Arbiter, among others. Any process can look it up by its id.
func ExampleArbiter_Status_group() {
	ctx := context.Background()
	b := memory.New()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	g, err := arb.Group(ctx, []task.Bound{AddTask.Bind(1, 2), AddTask.Bind(3, 4)})
	if err != nil {
		log.Fatal(err)
	}
	st, err := arb.Status(ctx, g.ID())
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(st)
	if err != nil {
		log.Fatal(err)
	}
	var keys struct {
		State                    string
		Initiated, Running, Done int
		Tasks                    []any
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		log.Fatal(err)
	}
	fmt.Println(keys.State, keys.Initiated, keys.Running, keys.Done, len(keys.Tasks))

	// Output: initiated 2 0 0 2
}

// A group without calls is like a loop over an empty list: it succeeds at once, and its callback gets the empty list.
func ExampleGroupThen_noCalls() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	var calls []task.Call[int]
	g, total, err := arbiter.GroupThen(ctx, arb, calls, TotalTask.Step())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(g.Results(ctx))
	fmt.Println(total.Result(ctx))

	// Output:
	// [] <nil>
	// 0 <nil>
}

// Several finalizers all run, each with its own timeout. Several callbacks are combined: with task.Collect each runs
// regardless of the others.
func ExampleFinalizer_several() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	g, err := arb.Group(ctx, []task.Bound{AddTask.Bind(1, 2)},
		arbiter.Callback(task.Collect(AddTask.Bind(3, 4), AddTask.Bind(5, 6))),
		arbiter.Finalizer(AddTask.Bind(10, 20), time.Minute),
		arbiter.Finalizer(AddTask.Bind(30, 40), 0))
	if err != nil {
		log.Fatal(err)
	}
	var sums []int
	err = g.Result(ctx, &sums) // the result of the callback
	fmt.Println(sums, err)
	st, err := g.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, one := range st.Flow.Tasks {
		fmt.Print(one.Type, " ")
		fmt.Println(one.Result())
	}

	// Output:
	// [7 11] <nil>
	// task 3 <nil>
	// callback [7 11] <nil>
	// finalize 30 <nil>
	// finalize 70 <nil>
}

// Members that wait never start. The status tells why the callback will never run.
func ExampleArbiter_KillGroup() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	later := AddTask.With(task.Delay(time.Hour))
	g, err := arb.Group(ctx, []task.Bound{later.Bind(1, 2), later.Bind(3, 4)}, arbiter.Callback(AddTask.Bind(5, 6)))
	if err != nil {
		log.Fatal(err)
	}
	killed, err := arb.KillGroup(ctx, g.ID())
	if err != nil {
		log.Fatal(err)
	}
	for _, k := range killed {
		fmt.Println(k.Verdict)
	}
	fmt.Println(errors.Is(g.Result(ctx, nil), task.ErrCanceled))
	st, err := g.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(st.Flow.Reason)

	// Output:
	// never started
	// never started
	// never started
	// true
	// the group was killed
}

// A pipe by name: each step gets the result of the step before it as upstream, and the persistent arguments.
func ExampleArbiter_Pipe() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	increase := arbiter.Named("increase")
	first := arbiter.Named("increase", arbiter.KwArgs(map[string]any{"upstream": 1, "n": 1}))
	p, err := arb.Pipe(ctx, []task.Bound{first, increase, increase},
		arbiter.PersistentKwArgs(map[string]any{"n": 10}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.ID() != task.ID{}) // at once
	for st, err := range p.WaitForMembers(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(st.Result())
	}

	// Output:
	// true
	// 2 <nil>
	// 12 <nil>
	// 22 <nil>
}
