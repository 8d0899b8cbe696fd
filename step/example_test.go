package step_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/step"
	"github.com/go-arbiter/arbiter/task"
)

// item is the arguments of the tasks.
type item struct {
	N int `arbiter:"n"`
}

// system starts a minion that handles a task, and an arbiter, on a broker in memory.
func system(t task.Task[item, string], handler func(context.Context, item) (string, error)) (arb *arbiter.Arbiter, stop func()) {
	b := memory.New()
	m, err := minion.New(b, minion.Logger(silent))
	if err != nil {
		log.Fatal(err)
	}
	if err := task.Handle(m, t, handler); err != nil {
		log.Fatal(err)
	}
	go func() { _ = m.Run(context.Background(), 2) }()
	if arb, err = arbiter.New(b); err != nil {
		log.Fatal(err)
	}
	return arb, func() {
		_ = arb.Close()
		_ = m.Close()
		_ = b.Close()
	}
}

// An order is charged once, waits for an approval without taking a slot, and is shipped.
func Example() {
	order := task.Define[item, string]("order")
	arb, stop := system(order, func(ctx context.Context, i item) (string, error) {
		charge, err := step.Run(ctx, "charge", func(context.Context) (string, error) {
			fmt.Println("charging order", i.N)
			return "receipt 1", nil
		})
		if err != nil {
			return "", err
		}
		by, err := step.Wait[string](ctx, "approval", 24*time.Hour)
		if err != nil { // also while the task waits
			return "", err
		}
		return charge + ", approved by " + by, nil
	})
	defer stop()
	ctx := context.Background()
	fut, err := order.Apply(ctx, arb, item{7})
	if err != nil {
		log.Fatal(err)
	}
	if err := arb.Signal(ctx, fut.ID(), "approval", "Ada"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(fut.Result(ctx))
	// Output:
	// charging order 7
	// receipt 1, approved by Ada <nil>
}

// A retry does not repeat what is done.
func ExampleRun() {
	report := task.Define[item, string]("report", task.WithBackoff(task.Constant(10*time.Millisecond)))
	arb, stop := system(report, func(ctx context.Context, i item) (string, error) {
		rows, err := step.Run(ctx, "query", func(context.Context) (int, error) {
			fmt.Println("a long query")
			return 100 * i.N, nil
		})
		if err != nil {
			return "", err
		}
		if info, _ := task.FromContext(ctx); info.Retried == 0 {
			return "", errors.New("the mail server is down")
		}
		return fmt.Sprint("mailed ", rows, " rows"), nil
	})
	defer stop()
	ctx := context.Background()
	fut, err := report.Apply(ctx, arb, item{3})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fut.Result(ctx))
	// Output:
	// a long query
	// mailed 300 rows <nil>
}

// A task rests between two steps, and takes no slot meanwhile.
func ExampleSleep() {
	reminder := task.Define[item, string]("reminder")
	arb, stop := system(reminder, func(ctx context.Context, _ item) (string, error) {
		began, err := step.Run(ctx, "began", func(context.Context) (time.Time, error) { return time.Now(), nil })
		if err != nil {
			return "", err
		}
		if err := step.Sleep(ctx, "rest", 50*time.Millisecond); err != nil {
			return "", err
		}
		return fmt.Sprint("rested: ", time.Since(began) >= 45*time.Millisecond), nil
	})
	defer stop()
	ctx := context.Background()
	fut, err := reminder.Apply(ctx, arb, item{0})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fut.Result(ctx))
	// Output: rested: true <nil>
}

// A loop goes on behind the last item that is done.
func ExampleEach() {
	mails := task.Define[item, string]("mails", task.WithBackoff(task.Constant(10*time.Millisecond)))
	arb, stop := system(mails, func(ctx context.Context, _ item) (string, error) {
		info, _ := task.FromContext(ctx)
		err := step.Each(ctx, "send", []string{"Ada", "Bob", "Eve"}, func(_ context.Context, i int, name string) error {
			if i == 2 && info.Retried == 0 {
				return errors.New("the mail server is down")
			}
			fmt.Println("mail to", name)
			return nil
		})
		return "done", err
	})
	defer stop()
	ctx := context.Background()
	fut, err := mails.Apply(ctx, arb, item{0})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fut.Result(ctx))
	// Output:
	// mail to Ada
	// mail to Bob
	// mail to Eve
	// done <nil>
}

// A dead letter runs again from one of its steps on, after its code was mended.
func Example_fork() {
	broken := true
	price := task.Define[item, string]("price")
	arb, stop := system(price, func(ctx context.Context, i item) (string, error) {
		amount, err := step.Run(ctx, "amount", func(context.Context) (int, error) {
			if broken {
				return -i.N, nil
			}
			return i.N, nil
		})
		if err == nil && amount < 0 {
			err = task.NoRetry(errors.New("a negative amount"))
		}
		return fmt.Sprint("amount ", amount), err
	})
	defer stop()
	ctx := context.Background()
	fut, err := price.Apply(ctx, arb, item{5})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := fut.Result(ctx); err != nil {
		fmt.Println("failed")
	}
	broken = false
	if err := arb.Fork(ctx, fut.ID(), "amount"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(task.NewFuture[string](arb, fut.ID()).Result(ctx))
	// Output:
	// failed
	// amount 5 <nil>
}
