//go:build unix

package proc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/proc"
)

func TestMain(m *testing.M) {
	proc.Main(map[string]proc.Role{"clock": clock, "failure": failure})
	os.Exit(m.Run())
}

// clock prints a number every few milliseconds.
func clock(ctx context.Context, config json.RawMessage) error {
	var first int
	if err := json.Unmarshal(config, &first); err != nil {
		return err
	}
	for n := first; ; n++ {
		fmt.Printf("tick %d.\n", n)
		select {
		case <-ctx.Done():
			fmt.Println("over")
			return nil
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func failure(context.Context, json.RawMessage) error { return errors.New("it failed") }

func TestTerminate(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "clock", 42)
	p.WaitFor(t, "tick 44.")
	if status := p.Terminate(t); status != 0 || !strings.Contains(p.Output(), "over") {
		t.Errorf("status %d", status)
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "clock", 1)
	p.WaitFor(t, "tick")
	p.Kill()
	p.Kill()
	if status := p.Wait(t); status != -1 || strings.Contains(p.Output(), "over") {
		t.Errorf("status %d", status)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "clock", 1)
	p.WaitFor(t, "tick")
	p.Stop(t)
	quiet := func() bool { // reports whether nothing was printed for ten ticks
		before := len(p.Output())
		time.Sleep(50 * time.Millisecond)
		return len(p.Output()) == before
	}
	for end := time.Now().Add(10 * time.Second); !quiet(); { // earlier output may still arrive
		if time.Now().After(end) {
			t.Fatal("a stopped process still prints")
		}
	}
	if !quiet() {
		t.Error("a stopped process has printed again")
	}
	p.Continue(t)
	p.WaitFor(t, fmt.Sprintf("tick %d.", strings.Count(p.Output(), "tick")+3))
}

func TestFailure(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "failure", nil)
	if status := p.Wait(t); status != 1 || p.Output() != "it failed\n" {
		t.Errorf("the process of a role with an error ended with status %d and printed %q", status, p.Output())
	}
	if status := proc.Start(t, "nobody", nil).Wait(t); status != 2 {
		t.Errorf("status %d", status)
	}
}
