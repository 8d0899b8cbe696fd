//go:build unix

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/step"
	"github.com/go-arbiter/arbiter/task"
)

// journey is the arguments of a task of five steps, whose minion is killed again and again.
type journey struct {
	Within bool `arbiter:"within"` // the process dies before the step's result is stored; else after that
}

var journeyTask = task.Define[journey, string]("journey", task.Retries(0))

const journeySteps = 5

// travel runs the steps, and kills its process in the first attempt that comes to each of them.
func travel(l ledger) func(context.Context, journey) (string, error) {
	return func(ctx context.Context, j journey) (string, error) {
		info, _ := task.FromContext(ctx)
		var out []string
		for i := 1; i <= journeySteps; i++ {
			ran := false
			text, err := step.Run(ctx, "step"+strconv.Itoa(i), func(context.Context) (string, error) {
				ran = true
				if err := l.note("step/"+strconv.Itoa(i), info); err != nil {
					return "", err
				}
				if j.Within && int(info.Attempt) == i {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				}
				return fmt.Sprintf("%d.%d", i, info.Attempt), nil
			})
			if err != nil {
				return "", err
			}
			if ran && !j.Within {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			out = append(out, text)
		}
		return strings.Join(out, " "), nil
	}
}

// approvalTask waits for a signal, for a day at most.
var approvalTask = task.Define[task.None, string]("approval")

func approve(ctx context.Context, _ task.None) (string, error) {
	began, err := step.Run(ctx, "began", func(context.Context) (int, error) { return os.Getpid(), nil })
	if err != nil {
		return "", err
	}
	by, err := step.Wait[string](ctx, "approval", 24*time.Hour)
	return fmt.Sprint(began, " ", by), err
}

// stepMinionRole runs both tasks. No number of deaths makes one of them a dead letter.
func stepMinionRole(ctx context.Context, text json.RawMessage) error {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	b, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	m, err := minion.New(b, minion.Logger(log), minion.MaxRecoveries(255))
	if err != nil {
		return err
	}
	if err := errors.Join(task.Handle(m, journeyTask, travel(c.Ledger)), task.Handle(m, approvalTask, approve)); err != nil {
		return err
	}
	fmt.Println("ready")
	return m.Run(ctx, 1)
}

// A task goes on behind the steps that it has done, however often its minion is killed. The function of a step runs
// once, or twice if it was cut off.
func TestStepsOutliveMinions(t *testing.T) {
	t.Parallel()
	for name, within := range map[string]bool{"AfterEachStep": false, "WithinEachStep": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := onServer(t)
			if r == nil {
				return
			}
			fut, err := journeyTask.Apply(t.Context(), r.arb, journey{within})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
			defer cancel()
			type end struct {
				text string
				err  error
			}
			over := make(chan end, 1)
			go func() {
				text, err := fut.Result(ctx)
				over <- end{text, err}
			}()
			var got end
			for done := false; !done; { // a minion takes the place of each that was killed
				p := proc.Start(r, "step minion", r.cfg)
				select {
				case <-p.Exited():
				case got = <-over:
					p.Kill()
					done = true
				}
			}
			want, runs := "1.1 2.2 3.3 4.4 5.5", 1
			if within {
				want, runs = "1.2 2.3 3.4 4.5 5.6", 2
			}
			if got.text != want || got.err != nil {
				t.Errorf("the task returned %q, %v; want %q", got.text, got.err, want)
			}
			ran := make(map[string]int)
			for _, l := range r.cfg.Ledger.read(t) {
				ran[l.Event]++
			}
			for i := 1; i <= journeySteps; i++ {
				if n := ran["step/"+strconv.Itoa(i)]; n != runs {
					t.Errorf("step %d ran %d times, want %d", i, n, runs)
				}
			}
		})
	}
}

// A task that waits for a signal survives the end of its minion, and a restart of the server with its file. A signal
// that came before the restart is there after it.
func TestStepsOutliveTheServer(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"SignalAfterTheRestart": false, "SignalBeforeTheRestart": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := onServer(t, "--appendonly", "yes", "--appendfsync", "always")
			if r == nil {
				return
			}
			fut, err := approvalTask.Apply(t.Context(), r.arb, task.None{})
			if err != nil {
				t.Fatal(err)
			}
			p := proc.Start(r, "step minion", r.cfg)
			r.eventually("the task waits", func() bool {
				st, err := r.arb.Status(t.Context(), fut.ID())
				return err == nil && st.State == broker.StateRetrying
			})
			first := p.PID
			p.Kill()
			signal := func() {
				if err := r.arb.Signal(t.Context(), fut.ID(), "approval", "boss"); err != nil {
					t.Fatal(err)
				}
			}
			if before {
				signal()
			}
			s.Kill()
			s.Restart()
			if !before {
				signal()
			}
			proc.Start(r, "step minion", r.cfg)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if got, err := fut.Result(ctx); got != fmt.Sprint(first, " boss") || err != nil {
				t.Errorf("the task returned %q, %v; want the process that began and the signal", got, err)
			}
		})
	}
}
