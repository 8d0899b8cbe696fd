//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/proc"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// One task kills its process again and again. Other tasks, which take long, run beside it in the
// same minion. Only the first task is given up. The long form has 200 of the others.
func TestPoisonousTask(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	r.cfg.Lease = testform.Pick(time.Second, lease)
	n := testform.Pick(3, 200)
	r.cfg.Slots = n + 10
	long := args{For: testform.Pick(60*time.Millisecond, 150*time.Millisecond)}
	innocents := r.send(n, long)
	poison := r.send(1, args{Kill: true})[0]
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	deaths := 0
	over := make(chan struct{})
	guard := make(chan struct{})
	go func() { // starts the process again when it has died
		defer close(guard)
		for {
			p := proc.Start(t, "minion", r.cfg)
			select {
			case <-p.Exited():
				deaths++
			case <-over:
				return
			}
		}
	}()
	if _, err := poison.Result(ctx); !errors.Is(err, task.ErrMinionDied) {
		t.Errorf("the task that kills its minion returned %v, want ErrMinionDied", err)
	}
	for i, fut := range innocents {
		if a, err := fut.Result(ctx); err != nil || a.N != i {
			t.Errorf("task %d beside it returned %+v, %v", i, a, err)
		}
	}
	close(over)
	<-guard
	// On a busy machine a minion may lose its lease and then be killed by a task that still runs in
	// it. That is one more death.
	if deaths < minion.DefaultMaxRecoveries {
		t.Errorf("%d minions died, want %d", deaths, minion.DefaultMaxRecoveries)
	}
	t.Logf("%d minions died", deaths)
	letters, _, err := r.b.DeadLetters(ctx, task.DefaultQueue, "", 1000)
	if err != nil || len(letters) != 1 || letters[0].Task.ID != poison.ID() {
		t.Errorf("there are %d dead letters (%v), want only the task that kills its minion", len(letters), err)
	}
	r.cfg.Ledger.check(t)
}

// A minion is killed three times from outside. None of its tasks is given up.
func TestMinionKilledThreeTimes(t *testing.T) {
	t.Parallel()
	r, _ := onServer(t)
	if r == nil {
		return
	}
	r.cfg.Lease = testform.Pick(time.Second, lease)
	n := testform.Pick(4, 20)
	r.cfg.Slots = n
	futs := r.send(n, args{For: 200 * time.Millisecond})
	for range 3 {
		p := r.process()
		// At least one of the tasks runs. Those that may have killed a minion run one after the
		// other.
		r.eventually("a task is running", func() bool { return r.cfg.Ledger.starts(t, p.PID) > 0 })
		p.Kill()
	}
	r.process()
	r.results(futs)
	r.cfg.Ledger.check(t)
}

// The server refuses writes several times, each time for longer than the lease. This does not count
// as deaths of the minions: a long task goes on after the last outage.
func TestNoReplicasIsNoDeath(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	if r == nil {
		return
	}
	const short = 400 * time.Millisecond
	outages := testform.Pick(3, 6)
	admin := s.Client()
	r.cfg.Lease = short
	var starts, cut atomic.Int32
	for i := range 2 { // both minions are cut off
		b, err := r.cfg.open(t.Context(), r.logs.logger())
		if err != nil {
			t.Fatal(err)
		}
		m, err := minion.New(b, minion.Logger(r.logs.logger()), minion.DrainTimeout(0), minion.MaxRecoveries(2))
		if err != nil {
			t.Fatal(err)
		}
		err = task.Handle(m, work, func(ctx context.Context, a args) (answer, error) {
			if a.N > 0 {
				return answer{N: a.N}, nil
			}
			if n := starts.Add(1); int(n) > outages {
				return answer{Fill: fmt.Sprint(n)}, nil
			}
			<-ctx.Done()
			cut.Add(1)
			return answer{}, ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx, 1) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("minion %d: %v", i, err)
			}
			_ = b.Close()
		})
	}
	fut := r.send(1, args{})[0]
	for i := range outages {
		r.eventually("the task runs again", func() bool { return int(starts.Load()) == i+1 })
		r.workers(2) // both have reconnected, and have taken the counted deaths of their tasks back
		if err := admin.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
			t.Fatal(err)
		}
		r.eventually("its minion has noticed the outage", func() bool { return int(cut.Load()) == i+1 })
		time.Sleep(short)
		if err := admin.ConfigSet(t.Context(), "min-replicas-to-write", "0").Err(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, err := fut.Result(ctx)
	if n, _ := strconv.Atoi(a.Fill); err != nil || n != outages+1 {
		t.Errorf("after %d outages the task returned %+v, %v", outages, a, err)
	}
}
