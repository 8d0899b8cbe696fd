//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

// An idle minion or arbiter sends less than two commands a second. Commands that scripts call on
// the server are not counted.
func TestIdle(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	const window = 7 * time.Second
	s := redistest.Start(t, path)
	worker := newRig(t, s.URL()) // serves the arbiter, which has no minion of its own
	worker.minion(func(c *config) { c.Queues = []string{"served"} })
	for name, queues := range map[string][]string{
		"minion of one queue":    {"a"},
		"minion of three queues": {"b", "c", "d"},
		"arbiter":                nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := redisproxy.Start(t, s.Addr)
			if queues == nil {
				r := newRig(t, p.URL())
				r.results(r.send(5, args{}, task.Queue("served")))
			} else {
				r := &rig{T: t, cfg: worker.cfg, logs: worker.logs}
				r.minion(func(cfg *config) { cfg.URL, cfg.Lease, cfg.Queues = p.URL(), 0, queues })
			}
			// Requests of the start, and repeated ones on a machine that stalls, fall into a window at
			// times. A client that sends too much when it is idle does so in every window.
			time.Sleep(500 * time.Millisecond) // the first requests of a client are mostly done then
			const windows = 6
			for n := 1; ; n++ {
				before := p.Commands()
				time.Sleep(window)
				rate := float64(p.Commands()-before) / window.Seconds()
				t.Logf("%.2f commands a second", rate)
				if rate < 2 {
					return
				}
				if n == windows {
					t.Fatalf("an idle client sends %.2f commands a second or more in each of %d windows, want less than 2", rate, windows)
				}
			}
		})
	}
}
