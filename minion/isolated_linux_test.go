package minion_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// If a minion is killed, its children end too.
func TestIsolatedOrphans(t *testing.T) {
	t.Parallel()
	p := proc.Start(t, "minion", nil)
	p.WaitFor(t, `msg="spins `)
	p.WaitFor(t, `msg=waits`)
	children := childrenOf(p.PID)
	if len(children) < 2 {
		t.Fatalf("the minion has children %v", children)
	}
	p.Kill()
	for _, pid := range children {
		for end := time.Now().Add(20 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("child %d is still there", pid)
			}
		}
	}
}

// childrenOf returns the child processes of a process, from /proc.
func childrenOf(parent int) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		var pid, ppid int
		var state string
		_, _ = fmt.Sscan(string(text), &pid)
		if i := indexAfter(string(text), ") "); i > 0 {
			_, _ = fmt.Sscan(string(text)[i:], &state, &ppid)
		}
		if ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Killing children at any moment costs attempts and nothing else. The test kills every
// child of the process, so it must not run in parallel with others.
func TestIsolatedStorm(t *testing.T) {
	const slots = 4
	y := newYard(t, slots, minion.Retry(1000, task.Constant(0)))
	futs := make([]*task.Future[trace], testform.Pick(25, 60))
	for i := range futs {
		what := "call"
		if i%5 == 0 { // more tasks than slots, so some wait until a child is killed
			what = "hold"
		}
		futs[i] = y.send(deed{What: what, N: i})
	}
	// This child works: its handler has printed its id and waits for its end.
	if err := kill(y.printed("holds")); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	end := make(chan struct{})
	go func() {
		defer close(over)
		storm(y, end)
	}()
	for i, fut := range futs {
		if tr, err := y.result(fut); err != nil || tr.N != i+1 {
			t.Errorf("result: %+v, %v", tr, err)
		}
	}
	close(end)
	<-over
	if n := strings.Count(y.logs.String(), "the task's process crashed"); n == 0 {
		t.Error("no attempt has ended by the end of its process")
	}
	if err := y.stop(); err != nil {
		t.Error(err)
	}
	if left := childrenOf(os.Getpid()); len(left) > 0 {
		t.Errorf("children %v are left", left)
	}
}

// holder is the text that a child prints when it waits for its end.
var holder = regexp.MustCompile(`holds (\d+)`)

// storm kills children until end is closed. A number of them it kills at any moment; on a
// slow machine nothing would get done if that never stopped. After that it kills only the
// children that wait for their end.
func storm(y *yard, end <-chan struct{}) {
	killed := make(map[string]bool)
	for left := testform.Pick(25, 60); ; {
		select {
		case <-end:
			return
		case <-time.After(time.Duration(rand.IntN(10)) * time.Millisecond):
		}
		for _, m := range holder.FindAllStringSubmatch(y.logs.String(), -1) {
			if pid, _ := strconv.Atoi(m[1]); !killed[m[1]] {
				killed[m[1]] = true
				_ = kill(pid) // it may have ended by chance
			}
		}
		if children := childrenOf(os.Getpid()); left > 0 && len(children) > 0 && kill(children[rand.IntN(len(children))]) == nil {
			left--
		}
	}
}

// A service manager sends SIGTERM to all processes of a service. A child ignores it: the
// minion decides what happens to the task.
func TestIsolatedTerm(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.DrainTimeout(0), minion.KillGrace(0))
	y.send(deed{What: "spin", Text: "endures"})
	pid := y.printed("endures")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if !alive(pid) {
		t.Error("the child has ended")
	}
	if err := y.stop(); err != nil {
		t.Error(err)
	}
	y.wantGone(pid, 0)
}
