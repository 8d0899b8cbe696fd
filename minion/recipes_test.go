package minion_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// The README's recipes for a delayed task, and for a test in which a day passes at once:
// the task starts when its time has come, not earlier.
func TestLater(t *testing.T) {
	const day = 24 * time.Hour
	for name, later := range map[string]func() task.Option{
		"Delay": func() task.Option { return task.Delay(day) },
		"ETA":   func() task.Option { return task.ETA(time.Now().Add(day)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := memory.New()
				m := must(minion.New(b, minion.Logger((&logs{}).logger())))
				if err := RegisterTasks(m); err != nil {
					t.Fatal(err)
				}
				go m.Run(t.Context(), 1) //nolint:errcheck // as in the README
				defer func() { _ = m.Close() }()
				arb, err := arbiter.New(b)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = arb.Close() }()

				began := time.Now()
				sum, err := AddTask.With(later()).Call(t.Context(), arb, 1, 2)
				if sum != 3 || err != nil {
					t.Errorf("result: %d, %v", sum, err)
				}
				if took := time.Since(began); took < day || took > day+time.Minute {
					t.Errorf("it was done after %v, want a day", took)
				}
			})
		})
	}
}
