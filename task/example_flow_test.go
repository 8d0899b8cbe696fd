package task_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

//go:generate go tool arbitergen

// Count returns how many words a page has. Its handle is CountTask, in the
// generated file.
//
//arbiter:task
func Count(_ context.Context, page string) (int, error) {
	if page == "" {
		return 0, task.NoRetry(errors.New("the page is empty"))
	}
	return len(strings.Fields(page)), nil
}

// Scale multiplies the result of the call before it by factor. Its parameter is named upstream, so
// its handle has a method Step.
//
//arbiter:task
func Scale(_ context.Context, upstream, factor int) (int, error) { return upstream * factor, nil }

// Total adds the results of a group.
//
//arbiter:task
func Total(_ context.Context, upstream []int) (int, error) {
	total := 0
	for _, n := range upstream {
		total += n
	}
	return total, nil
}

// Found counts the members of a group that have a result.
//
//arbiter:task
func Found(_ context.Context, upstream []*int) (int, error) {
	n := 0
	for _, words := range upstream {
		if words != nil {
			n++
		}
	}
	return n, nil
}

// scene starts an arbiter and a minion, which run until end is called.
func scene() (arb *arbiter.Arbiter, end func()) {
	b := memory.New()
	m, err := minion.New(b, minion.Logger(silent))
	if err != nil {
		log.Fatal(err)
	}
	if err := RegisterTasks(m); err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), 3) }()
	arb, err = arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	return arb, func() {
		_ = arb.Close()
		_ = m.Close()
	}
}

// show sends a call, waits for its result and prints it.
func show[R any](arb *arbiter.Arbiter, call task.Call[R]) {
	ctx := context.Background()
	fut, err := call.Send(ctx, arb)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fut.Result(ctx))
}

// A pipe: each step gets the result of the call before it. It compiles only if the types fit.
func ExampleThen() {
	arb, end := scene()
	defer end()

	call := task.Then(CountTask.Bind("one two three"), ScaleTask.Step(10))
	show(arb, task.Then(call, ScaleTask.Step(2)))
	show(arb, task.Then(CountTask.Bind(""), ScaleTask.Step(10)))

	// Output:
	// 60 <nil>
	// 0 task pipe: member 0 (task_test.Count) failed: the page is empty
}

// A group as one call, and a step that gets all its results: its callback.
func ExampleAll() {
	arb, end := scene()
	defer end()

	pages := task.All(CountTask.Bind("one"), CountTask.Bind("two words"), CountTask.Bind("and three words"))
	show(arb, pages)
	show(arb, task.Then(pages, TotalTask.Step()))

	// Output:
	// [1 2 3] <nil>
	// 6 <nil>
}

// A group that goes on when a member fails: the result of that member is nil.
func ExampleCollect() {
	arb, end := scene()
	defer end()

	pages := task.Collect(CountTask.Bind("one"), CountTask.Bind(""))
	show(arb, task.Then(pages, FoundTask.Step()))

	// Output:
	// 1 <nil>
}

// A group of which two members must succeed.
func ExampleQuorum() {
	arb, end := scene()
	defer end()

	pages := []task.Call[int]{CountTask.Bind("one"), CountTask.Bind(""), CountTask.Bind("")}
	fut, err := task.Quorum(2, pages...).Send(context.Background(), arb)
	if err != nil {
		log.Fatal(err)
	}
	_, err = fut.Result(context.Background())
	fmt.Println(errors.Is(err, task.ErrFlowFailed))

	// Output:
	// true
}

// One result is passed to two steps. The second is a chain of two steps.
func ExampleFork() {
	arb, end := scene()
	defer end()

	double := ScaleTask.Step(2)
	show(arb, task.Then(CountTask.Bind("one two"), task.Fork(double, task.Chain(double, double))))

	// Output:
	// [4 8] <nil>
}

// A step made of two.
func ExampleChain() {
	arb, end := scene()
	defer end()

	step := task.Chain(ScaleTask.Step(2), ScaleTask.Step(10))
	show(arb, task.Then(CountTask.Bind("one two"), step))

	// Output:
	// 40 <nil>
}
