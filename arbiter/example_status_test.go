package arbiter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// Any process can look up any task.
func ExampleArbiter_Status() {
	ctx := context.Background()
	b := memory.New()
	sender, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	fut, err := AddTask.With(task.Delay(time.Hour)).Apply(ctx, sender, 1, 2)
	if err != nil {
		log.Fatal(err)
	}

	other, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	st, err := other.Status(ctx, fut.ID())
	if err != nil {
		log.Fatal(err)
	}
	st.ID, st.Due = task.ID{}, time.Time{} // these differ each time
	data, err := json.Marshal(st)
	fmt.Println(string(data), err)

	// Output:
	// {"task_type":"task","state":"initiated","result":null,"id":"00000000-0000-0000-0000-000000000000","detail":"scheduled","name":"simple_add","queue":"default"} <nil>
}

// The status of a task that is being retried has its last error, and when it is due.
func ExampleArbiter_Status_retried() {
	ctx := context.Background()
	b := memory.New()
	report := task.Define[ReportArgs, int]("report")
	m, err := minion.New(b, minion.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	if err := task.Handle(m, report, func(context.Context, ReportArgs) (int, error) {
		return 0, task.RetryAfter(time.Hour, errors.New("the printer is out of paper"))
	}); err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 1) }()
	defer func() { _ = m.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	fut, err := report.With(task.Meta("user", "ada")).Apply(ctx, arb, ReportArgs{Year: 1843})
	if err != nil {
		log.Fatal(err)
	}
	for {
		st, err := arb.Status(ctx, fut.ID())
		if err != nil {
			log.Fatal(err)
		}
		if st.State == broker.StateRetrying {
			fmt.Println(st.Phase(), st.Name, st.Attempts, st.Meta["user"])
			fmt.Println(st.Error.Message)
			fmt.Println("due in", time.Until(st.Due).Round(time.Hour))
			break
		}
		time.Sleep(time.Millisecond)
	}

	// Output:
	// initiated report 1 ada
	// the printer is out of paper
	// due in 1h0m0s
}

type ReportArgs struct {
	Year int `arbiter:"year"`
}

// The status of a group lists its members with their results, and its callback and finalizers. For a large group that is
// looked up often there is a form with only the numbers.
func ExampleCountsOnly() {
	ctx := context.Background()
	b := memory.New()
	defer startMinion(b)()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()
	g, err := arb.Group(ctx, []task.Bound{AddTask.Bind(1, 2), AddTask.Bind(3, 4)},
		arbiter.Callback(AddTask.Bind(5, 6)), arbiter.Finalizer(AddTask.Bind(7, 8), time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	if err := g.Result(ctx, nil); err != nil {
		log.Fatal(err)
	}
	st, err := g.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range st.Flow.Tasks {
		sum, err := t.Result()
		fmt.Println(t.Type, t.State, sum, err)
	}
	st, err = g.Status(ctx, arbiter.CountsOnly())
	fmt.Println(st.Flow.Initiated, st.Flow.Running, st.Flow.Done, len(st.Flow.Tasks), err)

	// Output:
	// task succeeded 3 <nil>
	// task succeeded 7 <nil>
	// callback succeeded 11 <nil>
	// finalize succeeded 15 <nil>
	// 0 0 4 0 <nil>
}
