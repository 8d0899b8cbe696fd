//go:build unix

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

// A cluster of three masters has eight queues. Minions serve all of them or one, and every request
// by id works.
func TestCluster(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.StartCluster(t, path, 3)
	r := newRig(t, s.URL())
	queues := make([]string, 8)
	for i := range queues {
		queues[i] = fmt.Sprintf("queue-%d", i)
	}
	r.minion(func(c *config) { c.Queues, c.Slots = queues, 20 })
	r.minion(func(c *config) { c.Queues = queues[:1] })
	r.workers(2)
	for i, node := range s.Nodes {
		if n := node.Client().DBSize(t.Context()).Val(); n == 0 {
			t.Errorf("node %d has no keys: the queues are not spread", i)
		}
	}

	// One batch has tasks for all queues. Some run at once, some later.
	var calls []task.Call[answer]
	for i, q := range slices.Concat(queues, queues) {
		call := work.With(task.Queue(q)).Bind(args{N: i})
		if i >= len(queues) {
			call = call.With(task.Delay(200 * time.Millisecond))
		}
		calls = append(calls, call)
	}
	futs, err := task.SendAll(t.Context(), r.arb, calls...)
	if err != nil {
		t.Fatal(err)
	}
	r.results(futs)
	// Another arbiter asks for the tasks by their ids alone.
	b, err := r.cfg.open(t.Context(), r.logs.logger())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	other, err := arbiter.New(b, arbiter.Logger(r.logs.logger()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	for i, f := range futs {
		st, err := other.Status(t.Context(), f.ID())
		if err != nil || st.State != broker.StateSucceeded || st.Queue != queues[i%len(queues)] {
			t.Errorf("status of task %d: %+v, %v", i, st, err)
		}
	}
	for _, q := range queues {
		testKillInCluster(r, other, q)
	}
	started := r.cfg.Ledger.check(t)
	if want := len(futs) + len(queues); len(started) != want {
		t.Errorf("%d tasks were started, want %d", len(started), want)
	}
}

// testKillInCluster kills a waiting and a running task of a queue by their ids.
func testKillInCluster(r *rig, arb *arbiter.Arbiter, queue string) {
	r.Helper()
	waiting := r.send(1, args{}, task.Queue(queue), task.Delay(time.Hour))[0]
	running := r.send(1, args{Hang: true}, task.Queue(queue))[0]
	r.eventually("the task is running", func() bool {
		st, err := arb.Status(r.Context(), running.ID())
		return err == nil && st.Phase() == broker.PhaseRunning
	})
	if v, err := arb.Kill(r.Context(), waiting.ID()); err != nil || v != arbiter.NeverStarted {
		r.Errorf("the kill of a waiting task of %s returned %v, %v", queue, v, err)
	}
	began := time.Now()
	if v, err := arb.Kill(r.Context(), running.ID(), arbiter.Wait()); err != nil || v != arbiter.Stopped {
		r.Errorf("the kill of a running task of %s returned %v, %v", queue, v, err)
	}
	if d := time.Since(began); d > r.busy.Late(3*time.Second) {
		r.Errorf("the kills took %v", d)
	}
}

// A master of a cluster is killed and restarted with its file. No task is lost.
func TestClusterNodeRestart(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.StartCluster(t, path, 3, "--cluster-require-full-coverage", "no", "--appendonly", "yes", "--appendfsync", "always")
	r := newRig(t, s.URL())
	queues := make([]string, 6)
	for i := range queues {
		queues[i] = fmt.Sprintf("queue-%d", i)
	}
	r.minion(func(c *config) { c.Queues, c.Slots = queues, 20 })
	for _, q := range queues {
		r.minion(func(c *config) { c.Queues = []string{q} })
	}
	r.workers(7)
	stop := r.stream(args{For: 5 * time.Millisecond}, queues...)
	time.Sleep(300 * time.Millisecond)
	s.Nodes[1].Kill()
	time.Sleep(2 * lease)
	s.Nodes[1].Restart()
	time.Sleep(300 * time.Millisecond)
	futs := stop()
	r.results(futs)
	t.Logf("%d tasks", len(futs))
	if starts := r.cfg.Ledger.check(t); len(starts) != len(futs) {
		t.Errorf("%d tasks were started, but %d were accepted", len(starts), len(futs))
	}
}

// A master of a cluster is lost, and its replica takes over. Minions and arbiters use the new
// master as soon as it serves, and all earlier tasks are done.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.StartCluster(t, path, 3, "--cluster-require-full-coverage", "no")
	heir := s.AddReplica(t, path, 0).Client()
	r := newRig(t, s.URL())
	queues := make([]string, 6)
	for i := range queues {
		queues[i] = fmt.Sprintf("queue-%d", i)
	}
	r.minion(func(c *config) { c.Queues, c.Slots = queues, 20 })
	r.workers(1)
	var sent [][]*task.Future[answer]
	send := func(d time.Duration) {
		for _, q := range queues {
			sent = append(sent, r.send(2, args{}, task.Queue(q), task.Delay(d)))
		}
	}
	results := func() {
		for _, futs := range sent {
			r.results(futs)
		}
	}
	send(0)
	results()
	send(3 * time.Second)
	// Wait counts replicas, so this waits until the one replica has everything that was sent so
	// far.
	if n, err := s.Nodes[0].Client().Wait(t.Context(), 1, 10*time.Second).Result(); err != nil || n != 1 {
		t.Fatalf("replicas: %d, %v", n, err)
	}
	s.Nodes[0].Kill()
	r.eventually("the replica is the new master", func() bool {
		return strings.Contains(heir.Info(t.Context(), "replication").Val(), "role:master")
	})
	began := time.Now()
	send(0)
	results()
	if d := time.Since(began); d > r.busy.Late(15*time.Second) {
		t.Errorf("the queues of the lost master were served again %v after its replica had taken over", d)
	}
}
