package minion_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// results keeps the file reachable: its finalizer would close it.
var results *os.File

func init() {
	// The handler starts a daemon: a program that leaves the child's process group and
	// inherits the child's pipe to the minion and its outputs.
	deeds["daemon"] = func(ctx context.Context, d deed) (trace, error) {
		results = os.NewFile(4, "results")
		cmd := exec.Command("sleep", "1000")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.ExtraFiles = []*os.File{results}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return trace{}, err
		}
		fmt.Println("daemon", cmd.Process.Pid)
		switch d.Text {
		case "exit":
			os.Exit(3)
		case "spin":
			for {
				spun++
			}
		}
		return trace{}, obey(ctx)
	}
}

// A program that holds the child's pipe open does not keep the minion from noticing the
// end of the child, from killing it, or from stopping.
func TestIsolatedDaemon(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		what string
		kill bool
		want string // text in the error
	}{
		"the child exits": {"exit", false, "exit code 3"},
		"a kill":          {"spin", true, task.ErrCanceled.Error()},
		"a stop":          {"obey", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 1, minion.KillGrace(0), minion.DrainTimeout(0))
			fut := y.send(deed{What: "daemon", Text: tt.what})
			defer func(pid int) { _ = kill(pid) }(y.printed("daemon"))
			if tt.kill {
				if _, err := y.arb.Kill(t.Context(), fut.ID()); err != nil {
					t.Fatal(err)
				}
			}
			if tt.want != "" {
				if _, err := y.result(fut); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %s", err, tt.want)
				}
			}
			if err := y.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A child that prints without end does not fill the log. A warning counts the dropped lines.
func TestIsolatedOutputRate(t *testing.T) {
	t.Parallel()
	const lines = 20_000
	y := newYard(t, 1)
	chatter := deed{What: "chatter", N: lines}
	begun := time.Now()
	if _, err := y.do(chatter); err != nil {
		t.Fatal(err)
	}
	if err := y.stop(); err != nil { // all output has been read when this returns
		t.Fatal(err)
	}
	took := time.Since(begun)
	logged, dropped := y.logs.count("msg=chatters"), 0
	for line := range strings.Lines(y.logs.String()) {
		if strings.Contains(line, "output of an isolated task was dropped") {
			var n int
			if _, err := fmt.Sscanf(line[indexAfter(line, " lines="):], "%d", &n); err != nil {
				t.Error(line, err)
			}
			dropped += n
		}
	}
	if logged+dropped != lines {
		t.Errorf("%d lines were logged and %d dropped, of %d", logged, dropped, lines)
	}
	if most := 1000 * (int(took/time.Second) + 2); logged > most {
		t.Errorf("%d lines were logged in %v, want at most %d", logged, took, most)
	}
}
