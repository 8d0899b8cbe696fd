package memory_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// TestBubble shows how a program can test its tasks together with arbiter, minion and
// broker. In a bubble of testing/synctest a delay of a day and retries after hours pass in
// no time, and at exact times.
func TestBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New()
		defer func() { _ = b.Close() }()
		var runs []time.Duration
		began := time.Now()
		m, err := minion.New(b, minion.Retry(3, task.Constant(time.Hour)), minion.Logger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		err = task.Handle(m, billTask, func(_ context.Context, a billArgs) (string, error) {
			runs = append(runs, time.Since(began))
			if len(runs) < 3 {
				return "", errors.New("not yet")
			}
			return "a bill for " + a.Customer, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = m.Run(context.Background(), 1) }()
		defer func() { _ = m.Close() }() // waits, because all goroutines must have ended when the bubble ends
		arb, err := arbiter.New(b)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()

		const day = 24 * time.Hour
		bill, err := billTask.With(task.Delay(day)).Call(t.Context(), arb, billArgs{"ann"})
		if bill != "a bill for ann" || err != nil {
			t.Errorf("%q, %v", bill, err)
		}
		want := []time.Duration{day, day + time.Hour, day + 2*time.Hour}
		if len(runs) != len(want) {
			t.Fatalf("it ran at %v, want %v", runs, want)
		}
		for i := range want {
			if runs[i].Round(time.Second) != want[i] {
				t.Errorf("run %d was after %v, want %v", i+1, runs[i], want[i])
			}
		}
	})
}
