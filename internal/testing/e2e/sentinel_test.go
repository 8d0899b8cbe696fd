//go:build unix

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

// The master is killed while tasks wait and run, and its replica takes over. All tasks that had
// reached the replica are done. Tasks are sent all the time.
func TestFailover(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.StartSentinel(t, path, 3)
	r := newRig(t, s.URL())
	r.minion(func(c *config) { c.Slots = 4 })
	r.minion(func(c *config) { c.Queues, c.Slots = []string{task.DefaultQueue, "other"}, 4 })
	futs := append(r.send(8, args{Hang: true}), r.send(100, args{For: 10 * time.Millisecond})...)
	r.started(8)
	late := r.send(5, args{}, task.Delay(4*time.Second))
	master := s.Nodes[0].Client()
	// Wait counts replicas, so this waits until the one replica has everything that was sent so
	// far.
	if n, err := master.Wait(t.Context(), 1, 10*time.Second).Result(); err != nil || n != 1 {
		t.Fatalf("replicas: %d, %v", n, err)
	}
	s.Nodes[0].Kill()
	killed := time.Now()
	stop := r.stream(args{})
	replica := s.Nodes[1].Client()
	r.eventually("the replica is the new master", func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "role:master")
	})
	t.Logf("the replica was the new master after %v", time.Since(killed).Round(time.Millisecond))
	time.Sleep(500 * time.Millisecond)
	during := stop()
	r.results(during)
	t.Logf("%d tasks were sent during the failover", len(during))
	r.results(late)
	for i, f := range futs {
		// Hanging tasks were cut short and run again.
		a, err := f.Result(t.Context())
		if err != nil {
			t.Errorf("task %d: %v", i, err)
		}
		if i < 8 && a.Attempt < 2 {
			t.Errorf("task %d: %+v", i, a)
		}
	}
	t.Logf("all tasks were done after %v", time.Since(killed).Round(time.Millisecond))
}
