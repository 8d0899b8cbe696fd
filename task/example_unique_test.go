package task_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

type statement struct {
	Account int    `arbiter:"account"`
	Month   string `arbiter:"month"`
	Copies  int    `arbiter:"copies"`
}

var printStatement = task.Define[statement, string]("print_statement")

// works starts a minion that prints statements, and returns its Close.
func works(b *memory.Broker, handle func(context.Context, statement) (string, error)) func() {
	m, err := minion.New(b, minion.Logger(silent))
	if err != nil {
		log.Fatal(err)
	}
	if err := task.Handle(m, printStatement, handle); err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), 2) }()
	return func() { _ = m.Close() }
}

// Calls with equal arguments have the same key. Here the account and the month count, and the number
// of copies does not.
func ExampleUniqueArgs() {
	arb, err := arbiter.New(memory.New()) // without a minion, so the tasks wait
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	once := printStatement.With(task.UniqueArgs("account", "month"))

	for _, s := range []statement{{17, "2026-01", 1}, {17, "2026-01", 2}, {17, "2026-02", 1}} {
		_, err := once.Apply(context.Background(), arb, s)
		fmt.Println(s, "is a duplicate:", errors.Is(err, task.ErrDuplicate))
	}

	// Output:
	// {17 2026-01 1} is a duplicate: false
	// {17 2026-01 2} is a duplicate: true
	// {17 2026-02 1} is a duplicate: false
}

// At most one call with the key is accepted within the time, also after the task is done.
func ExampleUniqueFor() {
	b := memory.New()
	defer works(b, func(context.Context, statement) (string, error) { return "printed", nil })()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	hourly := printStatement.With(task.UniqueArgs("account"), task.UniqueFor(time.Hour))

	fmt.Println(hourly.Call(context.Background(), arb, statement{Account: 17}))
	_, err = hourly.Apply(context.Background(), arb, statement{Account: 17})
	fmt.Println(errors.Is(err, task.ErrDuplicate))

	// Output:
	// printed <nil>
	// true
}

// The key is free when the task starts. So one task waits at most, and what is sent while a task runs
// leads to another run.
func ExampleUniqueUntilStart() {
	b := memory.New()
	started, let := make(chan bool), make(chan bool)
	defer works(b, func(context.Context, statement) (string, error) {
		started <- true
		<-let
		return "printed", nil
	})()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	waiting := printStatement.With(task.UniqueArgs(), task.UniqueUntilStart())

	first, err := waiting.Apply(context.Background(), arb, statement{Account: 17})
	if err != nil {
		log.Fatal(err)
	}
	<-started
	second, err := waiting.Apply(context.Background(), arb, statement{Account: 17})
	fmt.Println("while the first runs:", err)
	close(let)
	<-started
	fmt.Println(first.Result(context.Background()))
	fmt.Println(second.Result(context.Background()))

	// Output:
	// while the first runs: <nil>
	// printed <nil>
	// printed <nil>
}

// With ConflictJoin a second call gets the result of the first one.
func ExampleOnConflict() {
	b := memory.New()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	shared := printStatement.With(task.UniqueArgs(), task.OnConflict(task.ConflictJoin))

	first, err := shared.Apply(context.Background(), arb, statement{Account: 17})
	if err != nil {
		log.Fatal(err)
	}
	second, err := shared.Apply(context.Background(), arb, statement{Account: 17})
	if err != nil {
		log.Fatal(err)
	}
	runs := 0
	defer works(b, func(context.Context, statement) (string, error) {
		runs++
		return fmt.Sprint("printed by run ", runs), nil
	})()
	fmt.Println(first.Result(context.Background()))
	fmt.Println(second.Result(context.Background()))
	fmt.Println("one task:", first.ID() == second.ID())

	// Output:
	// printed by run 1 <nil>
	// printed by run 1 <nil>
	// one task: true
}

// With ConflictReplace and a delay, a series of calls runs once, when it is over (it is debounced). An
// age bounds how long a series can put the run off.
func ExampleOnConflict_replace() {
	b := memory.New()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	settled := printStatement.With(
		task.UniqueArgs("account"), task.Delay(50*time.Millisecond),
		task.OnConflict(task.ConflictReplace), task.ConflictMaxAge(time.Minute),
	)

	var futs []*task.Future[string]
	for copies := range 3 {
		fut, err := settled.Apply(context.Background(), arb, statement{Account: 17, Copies: copies})
		if err != nil {
			log.Fatal(err)
		}
		futs = append(futs, fut)
	}
	defer works(b, func(_ context.Context, s statement) (string, error) { return fmt.Sprint("printed ", s.Copies), nil })()
	for i, fut := range futs {
		printed, err := fut.Result(context.Background())
		if replaced, ok := errors.AsType[*task.ReplacedError](err); ok {
			fmt.Println("replaced by the next one:", replaced.By == futs[i+1].ID())
			continue
		}
		fmt.Println(printed, err)
	}

	// Output:
	// replaced by the next one: true
	// replaced by the next one: true
	// printed 2 <nil>
}

// With ConflictLatest the last one of a series of calls runs after the one that runs.
func ExampleOnConflict_latest() {
	b := memory.New()
	started, let := make(chan bool), make(chan bool)
	defer works(b, func(_ context.Context, s statement) (string, error) {
		if s.Copies == 0 {
			started <- true
			<-let
		}
		return fmt.Sprint("printed ", s.Copies), nil
	})()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	latest := printStatement.With(task.UniqueArgs("account"), task.OnConflict(task.ConflictLatest))

	var futs []*task.Future[string]
	for copies := range 4 {
		fut, err := latest.Apply(context.Background(), arb, statement{Account: 17, Copies: copies})
		if err != nil {
			log.Fatal(err)
		}
		futs = append(futs, fut)
		if copies == 0 {
			<-started
		}
	}
	close(let)
	for _, fut := range futs {
		printed, err := fut.Result(context.Background())
		fmt.Println(printed, errors.Is(err, task.ErrCanceled))
	}

	// Output:
	// printed 0 false
	//  true
	//  true
	// printed 3 false
}

// With ConflictCancel a new call cancels the one that runs, and runs when that one has returned.
func ExampleOnConflict_cancel() {
	b := memory.New()
	started := make(chan bool, 1)
	defer works(b, func(ctx context.Context, s statement) (string, error) {
		if s.Copies == 1 {
			started <- true
			<-ctx.Done() // nobody needs this statement any more
			return "", context.Cause(ctx)
		}
		return fmt.Sprint("printed ", s.Copies), nil
	})()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	newest := printStatement.With(task.UniqueArgs("account"), task.OnConflict(task.ConflictCancel))

	first, err := newest.Apply(context.Background(), arb, statement{Account: 17, Copies: 1})
	if err != nil {
		log.Fatal(err)
	}
	<-started
	second, err := newest.Apply(context.Background(), arb, statement{Account: 17, Copies: 2})
	if err != nil {
		log.Fatal(err)
	}
	_, err = first.Result(context.Background())
	fmt.Println("the first one was cancelled:", errors.Is(err, task.ErrCanceled))
	fmt.Println(second.Result(context.Background()))

	// Output:
	// the first one was cancelled: true
	// printed 2 <nil>
}
