//go:build unix

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

// While one master of a cluster is down, the queues of the other masters are served, both by
// minions of one queue and by minions of all queues.
func TestClusterInPart(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	for name, all := range map[string]bool{"alone": false, "with all": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.StartCluster(t, path, 3, "--cluster-require-full-coverage", "no", "--appendonly", "yes", "--appendfsync", "always")
			r := newRig(t, s.URL())
			// One queue for each node: all keys of a queue are in the hash slot of its name.
			queues := make([]string, 3)
			for i := 0; queues[0] == "" || queues[1] == "" || queues[2] == ""; i++ {
				q := fmt.Sprint("q", i)
				slot := s.Nodes[0].Client().ClusterKeySlot(t.Context(), redis.DefaultNamespace+":"+q).Val()
				queues[slot*3/16384] = q
			}
			if all {
				r.minion(func(c *config) { c.Queues = queues })
			} else {
				for _, q := range queues {
					r.minion(func(c *config) { c.Queues = []string{q} })
				}
			}
			for _, q := range queues {
				r.results(r.send(3, args{}, task.Queue(q)))
			}
			s.Nodes[1].Kill()
			for range 5 {
				for _, i := range []int{0, 2} {
					ctx, cancel := context.WithTimeout(t.Context(), patience) // the node stays down
					began := time.Now()
					fut, err := work.With(task.Queue(queues[i])).Bind(args{}).Send(ctx, r.arb)
					if err != nil {
						t.Errorf("send to the queue of node %d: %v", i, err)
					} else if _, err := fut.Result(ctx); err != nil {
						t.Errorf("result of a task in the queue of node %d: %v", i, err)
					}
					cancel()
					if d := time.Since(began); d > time.Second {
						t.Logf("a task in the queue of node %d took %v", i, d)
					}
				}
				time.Sleep(200 * time.Millisecond)
			}
			s.Nodes[1].Restart()
			for _, q := range queues {
				r.results(r.send(3, args{}, task.Queue(q)))
			}
		})
	}
}
