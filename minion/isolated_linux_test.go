package minion_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/proc"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// No child outlives a minion that is killed.
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
		for end := time.Now().Add(2 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("child %d is still there", pid)
			}
		}
	}
}

// childrenOf returns the processes that a process has started, as /proc has them.
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

// Children that are killed at any moment cost attempts, and nothing else. It
// kills whatever child there is, so it does not run beside other tests.
func TestIsolatedStorm(t *testing.T) {
	y := newYard(t, 4, minion.Retry(1000, task.Constant(0)))
	futs := make([]*task.Future[trace], 60)
	for i := range futs {
		futs[i] = y.send(deed{What: "call", N: i})
	}
	over := make(chan int)
	end := make(chan struct{})
	go func() {
		killed := 0
		for {
			pause := time.Duration(rand.IntN(10)) * time.Millisecond
			if killed%20 == 0 { // on a slow machine a child needs a while to do anything
				pause = 300 * time.Millisecond
			}
			select {
			case <-end:
				over <- killed
				return
			case <-time.After(pause):
			}
			if children := childrenOf(os.Getpid()); len(children) > 0 && kill(children[rand.IntN(len(children))]) == nil {
				killed++
			}
		}
	}()
	for i, fut := range futs {
		if tr, err := y.result(fut); err != nil || tr.N != i+1 {
			t.Errorf("%+v, %v", tr, err)
		}
	}
	close(end)
	if killed := <-over; killed == 0 {
		t.Error("no child was killed")
	}
	if err := y.stop(); err != nil {
		t.Error(err)
	}
	if left := childrenOf(os.Getpid()); len(left) > 0 {
		t.Errorf("children %v are left", left)
	}
}

// A service manager sends SIGTERM to all processes of a service. What that means
// for a task is for the minion to say.
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
