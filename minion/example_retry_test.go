package minion_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

var quiet = minion.Logger(slog.New(slog.DiscardHandler))

// A failed task is retried; if it fails for good, the caller gets the error.
func ExampleRetry() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, quiet, minion.Retry(5, task.Constant(time.Millisecond)))
	if err != nil {
		log.Fatal(err)
	}
	flaky := task.Define[Number, string]("flaky")
	err = task.Handle(m, flaky, func(ctx context.Context, a Number) (string, error) {
		info, _ := task.FromContext(ctx)
		switch {
		case a.N < 0:
			return "", task.NoRetry(errors.New("negative")) // a retry would fail as well
		case info.Attempt <= uint32(a.N):
			return "", errors.New("not this time")
		}
		return fmt.Sprintf("attempt %d of up to %d", info.Attempt, 1+info.MaxRetries), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()

	fmt.Println(flaky.Call(ctx, arb, Number{3}))
	_, err = flaky.Call(ctx, arb, Number{-1})
	if remote, ok := errors.AsType[*task.RemoteError](err); ok {
		fmt.Println(remote.Message, "after", remote.Attempts, "attempt")
	}
	_, err = flaky.With(task.Retries(1)).Call(ctx, arb, Number{9})
	fmt.Println(err)

	// Output:
	// attempt 4 of up to 6 <nil>
	// negative after 1 attempt
	// task flaky: not this time
}

// A caller that needs a quick answer limits the retries or the time. By default a task is
// retried for more than an hour.
func ExampleRetry_quickAnswer() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, quiet) // 25 retries by default
	if err != nil {
		log.Fatal(err)
	}
	mail := task.Define[Number, string]("mail")
	err = task.Handle(m, mail, func(context.Context, Number) (string, error) {
		return "", errors.New("the server is away")
	})
	if err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()

	// The first error is final.
	_, err = mail.With(task.Retries(0)).Call(ctx, arb, Number{})
	fmt.Println(err)

	// The task has a deadline; a retry that would come later is not made.
	_, err = mail.With(task.Within(100*time.Millisecond)).Call(ctx, arb, Number{})
	fmt.Println(err)

	// The caller stops waiting; the task goes on.
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = mail.Call(short, arb, Number{})
	fmt.Println(errors.Is(err, context.DeadlineExceeded))

	// Output:
	// task mail: the server is away
	// task mail: the server is away
	// true
}

// A task that can't be done yet has not failed: it snoozes and runs again.
func ExampleMinion_snooze() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, quiet, minion.Retry(0, nil))
	if err != nil {
		log.Fatal(err)
	}
	ready := time.Now().Add(20 * time.Millisecond)
	wait := task.Define[Number, string]("wait")
	err = task.Handle(m, wait, func(context.Context, Number) (string, error) {
		if time.Now().Before(ready) {
			return "", task.Snooze(5 * time.Millisecond)
		}
		return "ready", nil
	})
	if err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()
	fmt.Println(wait.Call(ctx, arb, Number{}))

	// Output: ready <nil>
}

// A task that waits for another task fails if that fails for good. When it is retried, the
// other task runs again, too. NoRetry prevents that if it would be of no use.
func ExampleRetry_children() {
	ctx := context.Background()
	b := memory.New()
	m, err := minion.New(b, quiet, minion.Retry(3, task.Constant(time.Millisecond)))
	if err != nil {
		log.Fatal(err)
	}
	fetch := task.Define[Number, int]("fetch")
	report := task.Define[Number, int]("report")
	var fetched atomic.Int32
	err = errors.Join(
		task.Handle(m, fetch, func(_ context.Context, a Number) (int, error) {
			if a.N < 0 || fetched.Add(1) == 1 {
				return 0, task.NoRetry(errors.New("no such page"))
			}
			return a.N, nil
		}),
		task.Handle(m, report, func(ctx context.Context, a Number) (int, error) {
			info, _ := task.FromContext(ctx)
			n, err := fetch.Call(ctx, info, a)
			if err != nil && a.N < 0 {
				err = task.NoRetry(err) // a retry would not find the page either
			}
			return n, err
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	arb, end := scene(b, m)
	defer end()

	fmt.Println(report.Call(ctx, arb, Number{7}))
	_, err = report.Call(ctx, arb, Number{-1})
	fmt.Println(err)

	// Output:
	// 7 <nil>
	// task report: task fetch: no such page
}
