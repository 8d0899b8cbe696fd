package memory_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

type billArgs struct {
	Customer string `arbiter:"customer"`
}

var billTask = task.Define[billArgs, string]("bill")

// A task that failed for good is a dead letter. An operator reads the reason, removes the
// cause, and requeues the task. It runs again under the same id, with all its retries.
func ExampleBroker_Requeue() {
	ctx := context.Background()
	b := memory.New()
	broken := true
	m, err := minion.New(b, minion.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	err = task.Handle(m, billTask, func(_ context.Context, a billArgs) (string, error) {
		if broken {
			return "", task.NoRetry(errors.New("the printer is on fire"))
		}
		return "a bill for " + a.Customer, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(ctx, 1) }()
	defer func() { _ = m.Close() }()
	arb, err := arbiter.New(b)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = arb.Close() }()

	fut, err := billTask.Apply(ctx, arb, billArgs{"ann"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := fut.Result(ctx); err != nil {
		fmt.Println("failed")
	}

	// Both brokers of this module are Inspectors. For any other broker.Broker,
	// broker.InspectorOf tells whether it is one.
	var inspector broker.Inspector = b
	letters, _, err := inspector.DeadLetters(ctx, task.DefaultQueue, "", 100)
	if err != nil {
		log.Fatal(err)
	}
	var ids []task.ID
	for _, l := range letters {
		fmt.Printf("%s: %s\n", l.Task.Name, l.Outcome.Err.Message)
		ids = append(ids, l.Task.ID)
	}

	broken = false
	errs, err := inspector.Requeue(ctx, ids)
	if err != nil || errs[0] != nil {
		log.Fatal(err, errs)
	}
	for st, err := range arb.WaitForTasks(ctx, ids...) {
		if err != nil {
			log.Fatal(err)
		}
		var bill string
		fmt.Println(st.State, st.Decode(&bill), bill)
	}

	// Output:
	// failed
	// bill: the printer is on fire
	// succeeded <nil> a bill for ann
}
