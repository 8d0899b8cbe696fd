package minion_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// indexAfter returns the index right after part in text, or -1 if text does not contain it.
func indexAfter(text, part string) int {
	i := strings.Index(text, part)
	if i < 0 {
		return i
	}
	return i + len(part)
}

// alive reports whether a process exists and has not ended.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil || p.Signal(syscall.Signal(0)) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ") // an ended process for which nobody has waited is a zombie
}

func (y *yard) wantGone(pid int, within time.Duration) {
	y.Helper()
	for end := time.Now().Add(within); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			y.Fatalf("process %d is still there after %v", pid, within)
		}
	}
}

func TestIsolatedResult(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	tr, err := y.do(deed{What: "echo", Text: "hello", N: 7})
	if err != nil || tr.Text != "hello" || tr.N != 7 || tr.PID == os.Getpid() || tr.PID == 0 {
		t.Errorf("result: %+v, %v", tr, err)
	}
	fut := y.send(deed{What: "info"}, task.Meta("k", "v"), task.Timeout(time.Minute), task.Retries(2))
	tr, err = y.result(fut)
	if want := fmt.Sprint(true, fut.ID(), "isolated", "default", 1, "v", true, unsetAtFirst); err != nil || tr.Text != want {
		t.Errorf("%+v, %v, want %s", tr, err, want)
	}
	if n, err := plain.Call(t.Context(), y.arb, args{1}); n != 2 || err != nil {
		t.Errorf("result: %v, %v", n, err)
	}
}

func TestIsolatedError(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.Retry(3, nil))
	e := y.remote(deed{What: "error", Text: "it"})
	if e.Type != "*fmt.wrapError" || e.Message != "it: open x: known on both sides" || e.Attempts != 1 ||
		!errors.Is(e, errKnown) || len(e.Chain) != 2 || e.Stack != "" {
		t.Errorf("error: %+v", e)
	}
	e = y.remote(deed{What: "panic", Text: "oh"}, task.Retries(0))
	if !errors.Is(e, task.ErrPanic) || e.Message != "panic: oh" || e.Type != "string" || !strings.Contains(e.Stack, "isolated_rig_test.go") {
		t.Errorf("error: %+v", e)
	}
	e = y.remote(deed{What: "goexit"}, task.Retries(0))
	if !errors.Is(e, task.ErrPanic) || !strings.Contains(e.Message, "Goexit") {
		t.Errorf("error: %+v", e)
	}
	// None of the failures has ended the child.
	first, _ := y.do(deed{What: "echo"})
	_ = y.remote(deed{What: "panic"}, task.Retries(0))
	if second, err := y.do(deed{What: "echo"}); err != nil || second.PID != first.PID {
		t.Errorf("%+v, then %+v, %v", first, second, err)
	}
	// Arguments that don't fit are final, as in the minion's own process.
	ids, err := y.arb.Apply(t.Context(), "isolated", arbiter.Args(1.5, 2))
	if err != nil {
		t.Fatal(err)
	}
	_, err = y.result(task.NewFuture[trace](y.arb, ids[0]))
	if !errors.Is(err, task.ErrBadArguments) || !errors.As(err, &e) || e.Attempts != 1 {
		t.Error(err)
	}
}

func TestIsolatedCrash(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1)
	for _, tt := range []struct {
		do    deed
		says  string
		stack string
	}{
		{deed{What: "exit", N: 3}, "ended with exit code 3: before the end", "before the end"},
		{deed{What: "exit"}, "ended with exit code 0: before the end", "before the end"},
		{deed{What: "lone panic", Text: "alone"}, "ended with exit code 2: panic: alone", "goroutine "},
		{deed{What: "fatal"}, "ended with exit code 2: fatal error: concurrent map", "goroutine "},
		{deed{What: "kill"}, `ended by signal "killed"`, ""},
	} {
		e := y.remote(tt.do)
		if !errors.Is(e, task.ErrCrashed) || e.Type != "*task.CrashError" ||
			!strings.Contains(e.Message, tt.says) || !strings.Contains(e.Stack, tt.stack) {
			t.Errorf("%+v: %+v", tt.do, e)
		}
		if tr, err := y.do(deed{What: "echo", N: 1}); err != nil || tr.N != 1 {
			t.Errorf("after %+v: %+v, %v", tt.do, tr, err)
		}
	}
}

func TestIsolatedRetry(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.Retry(1, task.Constant(0)))
	tr, err := y.do(deed{What: "second"})
	if err != nil || tr.N != 2 {
		t.Errorf("result: %+v, %v", tr, err)
	}
	if e := y.remote(deed{What: "kill"}); e.Attempts != 2 || !errors.Is(e, task.ErrCrashed) {
		t.Errorf("error: %+v", e)
	}
	// The child is killed from outside, as by the kernel when memory runs out.
	fut := y.send(deed{What: "spin", Text: "victim"})
	for n, last := 0, 0; n < 2; {
		pid := 0
		for line := range strings.SplitSeq(y.logs.String(), "\n") {
			if i := indexAfter(line, `msg="victim `); i > 0 {
				_, _ = fmt.Sscanf(line[i:], "%d", &pid)
			}
		}
		if pid == last {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		n, last = n+1, pid
		if err := kill(pid); err != nil {
			t.Fatal(err)
		}
	}
	var e *task.RemoteError
	if _, err := y.result(fut); !errors.As(err, &e) || e.Attempts != 2 || !strings.Contains(e.Message, `signal "killed"`) {
		t.Errorf("%+v", err)
	}
}

func TestIsolatedTimeout(t *testing.T) {
	t.Parallel()
	patient := newYard(t, 1, minion.KillGrace(20*time.Second)) // long enough for a slow machine
	if _, err := patient.do(deed{What: "echo"}); err != nil {  // so that a child has started
		t.Fatal(err)
	}
	e := patient.remote(deed{What: "obey"}, task.Timeout(100*time.Millisecond))
	if !errors.Is(e, task.ErrTimeout) || errors.Is(e, task.ErrCrashed) ||
		!strings.Contains(e.Message, "context deadline exceeded; cause: timeout of the attempt is over") {
		t.Errorf("error: %+v", e)
	}
	y := newYard(t, 1)
	busy, began := stall.Start(t), time.Now()
	e = y.remote(deed{What: "spin", Text: "slow"}, task.Timeout(time.Second)) // enough to begin
	if took := time.Since(began); took < 2*time.Second || took > busy.Late(4*time.Second) {
		t.Errorf("after %v", took)
	}
	if !errors.Is(e, task.ErrTimeout) || !errors.Is(e, task.ErrCrashed) || e.Type != "*task.CrashError" {
		t.Errorf("error: %+v", e)
	}
	y.wantGone(y.printed("slow"), 0)
}

// The start of a child counts as time of the attempt, also in the child's context.
func TestIsolatedSlowStart(t *testing.T) {
	y := newYard(t, 1)
	t.Setenv(envSlow, "300ms")
	if tr, err := y.do(deed{What: "left"}, task.Timeout(time.Minute)); err != nil || tr.N <= 0 || tr.N > 60_000-300 {
		t.Errorf("%d ms are left, %v", tr.N, err)
	}
}

// A handler in a loop that ignores its context is dead within two seconds of a kill.
func TestIsolatedKill(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	fut := y.send(deed{What: "spin", Text: "endless"})
	pid := y.printed("endless")
	busy, began := stall.Start(t), time.Now()
	if v, err := y.arb.Kill(t.Context(), fut.ID(), arbiter.Wait()); v != arbiter.Stopped || err != nil {
		t.Errorf("kill: %v, %v", v, err)
	}
	y.wantGone(pid, 0)
	if took := time.Since(began); took > busy.Late(2*time.Second) {
		t.Errorf("after %v", took)
	}
	if _, err := y.result(fut); !errors.Is(err, task.ErrCanceled) {
		t.Error(err)
	}
	const grace = 20 * time.Second // a handler that obeys does not need it
	y = newYard(t, 2, minion.KillGrace(grace))
	fut = y.send(deed{What: "obey", Text: "good 1"})
	y.printed("good")
	began = time.Now()
	if v, err := y.arb.Kill(t.Context(), fut.ID(), arbiter.Wait()); v != arbiter.Stopped || err != nil || time.Since(began) > grace/2 {
		t.Error(v, err, time.Since(began))
	}
	if tr, err := y.do(deed{What: "echo", N: 1}); err != nil || tr.N != 1 {
		t.Errorf("result: %+v, %v", tr, err)
	}
}
