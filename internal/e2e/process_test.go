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
	"github.com/go-arbiter/arbiter/internal/proc"
	"github.com/go-arbiter/arbiter/internal/testform"
	"github.com/go-arbiter/arbiter/task"
)

// A minion that is killed with tasks running: another one runs them within the
// lease and a bit, as second attempts, and no retry is used.
func TestKilledMinion(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	testKilledMinion(r, 4*lease)
}

// The same with the lease that minions have by default.
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
	r.Logf("all done %v after the kill", took.Round(time.Millisecond))
	if took > r.busy.Late(limit) {
		r.Errorf("that is more than %v", limit)
	}
	r.cfg.Ledger.check(r)
}

// A minion that is stopped past its lease and goes on: what it has in hand is
// run elsewhere meanwhile, its late settlements change nothing, and it serves on.
func TestStoppedMinion(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	const n = 5
	sleeper := r.process(func(c *config) { c.Slots = n })
	// They end while the minion is stopped, or rather right after it.
	done := r.send(n, args{For: 700 * time.Millisecond, Deaf: true})
	r.started(n)
	sleeper.Stop(t)
	other := r.process()
	for i, a := range r.results(done) {
		if a.Attempt != 2 || a.PID != other.PID {
			t.Errorf("task %d returned %+v, want attempt 2 in process %d", i, a, other.PID)
		}
	}
	// These are run by the other one for the first time, and the sleeper wakes up
	// in the middle of that.
	open := r.send(n, args{For: time.Second, Deaf: true})
	r.started(3 * n)
	sleeper.Continue(t)
	sleeper.WaitFor(t, "lease lost")
	r.results(open)
	r.eventually("the sleeper has run its handlers to the end", func() bool {
		ends := 0
		for _, e := range r.cfg.Ledger.read(t) {
			if e.Event == "end" && e.PID == sleeper.PID {
				ends++
			}
		}
		return ends == n
	})
	sleeper.WaitFor(t, "result dropped")
	// Whatever it had to say changed nothing: the results are the same.
	for i, a := range r.results(futures(r, done)) {
		if a.Attempt != 2 || a.PID != other.PID {
			t.Errorf("after the late settlements, task %d returned %+v", i, a)
		}
	}
	other.Kill()
	r.results(r.send(n, args{}))
	r.cfg.Ledger.check(t)
}

// A minion that is asked to end gives back what it runs: it is run elsewhere
// without waiting for the end of a lease, and no retry is used.
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
		t.Errorf("it ended with status %d", status)
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

// futures returns new ones of the same tasks, which ask the broker.
func futures(r *rig, old []*task.Future[answer]) []*task.Future[answer] {
	out := make([]*task.Future[answer], len(old))
	for i, f := range old {
		out[i] = task.NewFuture[answer](r.arb, f.ID())
	}
	return out
}

// Two minions and an arbiter, each a process, finish 10,000 tasks while one of
// the minions is killed. Only what that one had in hand runs twice. The short form has
// fewer tasks.
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
	c.Tasks, c.Gate = n, filepath.Join(t.TempDir(), "gate") // so the victim is killed before all is done
	began := time.Now()
	arb := proc.Start(t, "arbiter", c)
	r.eventually("the victim is at work", func() bool {
		return r.cfg.Ledger.starts(t, 0) > n/10 && r.cfg.Ledger.starts(t, victim.PID) >= width
	})
	victim.Kill()
	if err := os.WriteFile(c.Gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status := arb.Wait(t); status != 0 || !strings.Contains(arb.Output(), fmt.Sprintf("%d results\n", n)) {
		t.Fatalf("the arbiter ended with status %d", status)
	}
	t.Logf("%v in all", time.Since(began).Round(time.Millisecond))
	// A machine so busy that a minion is taken for dead is a cause, too.
	busy := strings.Contains(victim.Output()+other.Output(), "lease lost")
	again := 0
	for id, starts := range r.cfg.Ledger.check(t) {
		if len(starts) == 1 {
			continue
		}
		again++
		if !busy && (len(starts) > 2 || starts[0].PID != victim.PID || starts[1].PID != other.PID) {
			t.Errorf("task %s was started by %v, without a cause", id, starts)
		}
	}
	t.Logf("%d tasks ran twice, for their minion was killed", again)
	if busy {
		return
	}
	// What ran runs again, and so does what had ended and was on its way to the
	// broker. That is what the victim began last, but for handlers that it had
	// begun earlier and that held up one slot each.
	old, late := 0, r.cfg.Ledger.startsOf(t, victim.PID)
	late = late[max(0, len(late)-again-width):]
	for id, starts := range r.cfg.Ledger.check(t) {
		if len(starts) > 1 && !slices.Contains(late, id) {
			old++
		}
	}
	if old > width {
		t.Errorf("of the %d tasks that ran twice, the victim had begun %d before the last %d", again, old, len(late))
	}
	if most := broker.MaxBatch + width; again > most {
		t.Errorf("%d tasks ran twice; a minion with %d slots has %d in hand at most", again, width, most)
	}
}
