//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/task"
)

// A minion is killed while tasks run. Another minion runs them soon after the end of the lease, as
// second attempts, and no retry is used.
func TestKilledMinion(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	testKilledMinion(r, 4*lease)
}

// The same with the default lease.
func TestKilledMinionByDefault(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	r.cfg.Lease = 0
	testKilledMinion(r, 20*time.Second)
}

func testKilledMinion(r *rig, limit time.Duration) {
	const n = 10
	victim := r.process()
	futs := r.send(n, args{Hang: true})
	r.started(n)
	other := r.process()
	r.workers(2)
	victim.Kill()
	killed := time.Now()
	for i, a := range r.results(futs) {
		if a.Attempt != 2 || a.PID != other.PID {
			r.Errorf("task %d returned %+v, want attempt 2 in process %d", i, a, other.PID)
		}
	}
	took := time.Since(killed)
	r.Logf("all tasks were done %v after the kill", took.Round(time.Millisecond))
	if took > r.busy.Late(limit) {
		r.Errorf("the tasks were done only later than %v after the kill", limit)
	}
	r.cfg.Ledger.check(r)
}

// A minion is stopped for longer than its lease, and then goes on. Its tasks have run elsewhere, so
// its late settlements change nothing. It goes on serving.
func TestStoppedMinion(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	const n = 5
	sleeper := r.process(func(c *config) { c.Slots = n })
	// These tasks end while the minion is stopped, or right after it goes on.
	done := r.send(n, args{For: 700 * time.Millisecond, Deaf: true})
	r.started(n)
	sleeper.Stop(t)
	other := r.process()
	for i, a := range r.results(done) {
		if a.Attempt != 2 || a.PID != other.PID {
			t.Errorf("task %d returned %+v, want attempt 2 in process %d", i, a, other.PID)
		}
	}
	// The other minion runs these tasks for the first time, and the stopped minion goes on in the
	// middle of that.
	open := r.send(n, args{For: time.Second, Deaf: true})
	r.started(3 * n)
	sleeper.Continue(t)
	sleeper.WaitFor(t, "lease lost")
	r.results(open)
	r.eventually("the stopped minion has run its handlers to the end", func() bool {
		ends := 0
		for _, e := range r.cfg.Ledger.read(t) {
			if e.Event == "end" && e.PID == sleeper.PID {
				ends++
			}
		}
		return ends == n
	})
	sleeper.WaitFor(t, "result dropped")
	// Its late settlements have changed nothing: the results are the same.
	for i, a := range r.results(futures(r, done)) {
		if a.Attempt != 2 || a.PID != other.PID {
			t.Errorf("after the late settlements, task %d returned %+v", i, a)
		}
	}
	other.Kill()
	r.results(r.send(n, args{}))
	r.cfg.Ledger.check(t)
}

// A minion that is asked to end gives its running tasks back. Another minion runs them without
// waiting for the end of a lease, and no retry is used.
func TestTerminatedMinion(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	r.cfg.Lease = 0
	first := r.process()
	futs := r.send(10, args{Hang: true})
	r.started(10)
	other := r.process()
	r.workers(2)
	began := time.Now()
	if status := first.Terminate(t); status != 0 {
		t.Errorf("the minion ended with status %d", status)
	}
	for i, a := range r.results(futs) {
		if a.Attempt != 2 || a.PID != other.PID {
			t.Errorf("task %d returned %+v, want attempt 2 in process %d", i, a, other.PID)
		}
	}
	if d := time.Since(began); d > r.busy.Late(5*time.Second) {
		t.Errorf("the tasks were done only after %v", d)
	}
	r.cfg.Ledger.check(t)
}

// futures returns new futures of the same tasks, which ask the broker for the results.
func futures(r *rig, old []*task.Future[answer]) []*task.Future[answer] {
	out := make([]*task.Future[answer], len(old))
	for i, f := range old {
		out[i] = task.NewFuture[answer](r.arb, f.ID())
	}
	return out
}

// Two minions and an arbiter, each in a process, finish 10,000 tasks while one of the minions is
// killed. Only tasks that this minion held run twice. The short form has fewer tasks.
func TestTenThousand(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	const width = 20
	n := testform.Pick(3_000, 10_000)
	r.cfg.Lease = 4 * time.Second
	slots := func(c *config) { c.Slots = width }
	victim, other := r.process(slots), r.process(slots)
	r.workers(2)
	c := r.cfg
	c.Tasks, c.Gate = n, filepath.Join(t.TempDir(), "gate") // so the minion is killed before all tasks are done
	began := time.Now()
	arb := proc.Start(t, "arbiter", c)
	r.eventually("the minion has started enough tasks", func() bool {
		return r.cfg.Ledger.starts(t, 0) > n/10 && r.cfg.Ledger.starts(t, victim.PID) >= width
	})
	victim.Kill()
	if err := os.WriteFile(c.Gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status := arb.Wait(t); status != 0 || !strings.Contains(arb.Output(), fmt.Sprintf("%d results\n", n)) {
		t.Fatalf("the arbiter ended with status %d", status)
	}
	t.Logf("all tasks took %v", time.Since(began).Round(time.Millisecond))
	// On a busy machine a minion may lose its lease. That explains second runs, too.
	busy := strings.Contains(victim.Output()+other.Output(), "lease lost")
	again := 0
	for id, starts := range r.cfg.Ledger.check(t) {
		if len(starts) == 1 {
			continue
		}
		again++
		if !busy && (len(starts) > 2 || starts[0].PID != victim.PID || starts[1].PID != other.PID) {
			t.Errorf("task %s was started several times without a cause: %v", id, starts)
		}
	}
	t.Logf("%d tasks ran twice, because their minion was killed", again)
	if busy {
		return
	}
	// The running tasks of the killed minion run again. So do tasks that had ended, and whose
	// settlements had not reached the broker. These are the tasks that the minion started last,
	// except for older tasks that held one slot each.
	old, late := 0, r.cfg.Ledger.startsOf(t, victim.PID)
	late = late[max(0, len(late)-again-width):]
	for id, starts := range r.cfg.Ledger.check(t) {
		if len(starts) > 1 && !slices.Contains(late, id) {
			old++
		}
	}
	if old > width {
		t.Errorf("of the %d tasks that ran twice, the killed minion had started %d before its last %d tasks", again, old, len(late))
	}
	if most := broker.MaxBatch + width; again > most {
		t.Errorf("%d tasks ran twice; a minion with %d slots holds %d at most", again, width, most)
	}
}
