//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/task"
)

// An arbiter that does not read loses its subscription when the server's buffer for it is full.
// When it reads again, it still gets all results.
func TestSlowArbiter(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path, "--client-output-buffer-limit", "pubsub 1mb 1mb 1")
	p := redisproxy.Start(t, s.Addr)
	r := newRig(t, p.URL())
	r.minion(func(c *config) { c.URL, c.Lease = s.URL(), 0 })
	const n = 100
	futs := r.send(n, args{For: 50 * time.Millisecond, Fill: 50_000})
	p.Freeze(true)
	r.started(n)
	time.Sleep(500 * time.Millisecond) // until the last tasks are settled
	p.Freeze(false)
	r.results(futs)
	r.results(r.send(5, args{}, task.Retention(time.Minute)))
	r.cfg.Ledger.once(t, n+5)
}
