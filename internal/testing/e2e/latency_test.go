//go:build unix

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// A minion far from its server runs tasks, also tasks that take longer than the lease. It runs each
// once. The delay applies to each direction.
func TestFarAway(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name         string
		lease, delay time.Duration
	}{{"short lease", time.Second, 100 * time.Millisecond}}
	if testform.Long() {
		cases = append(cases, []struct {
			name         string
			lease, delay time.Duration
		}{
			{"default lease, 750 ms", redis.DefaultLease, 750 * time.Millisecond},
			{"default lease, 1.5 s", redis.DefaultLease, 1500 * time.Millisecond},
		}...)
	}
	servers := map[string]string{"miniredis": miniredis.RunT(t).Addr()}
	if path := redistest.Path(t); path != "" {
		servers["redis-server"] = redistest.Start(t, path).Addr
	}
	for name, addr := range servers {
		for _, c := range cases {
			t.Run(name+", "+c.name, func(t *testing.T) {
				t.Parallel()
				p := redisproxy.Start(t, addr)
				r := newRig(t, "redis://"+addr, redis.Namespace(namespace(t)))
				p.Slow(c.delay, 0)
				r.minion(func(mc *config) { mc.URL, mc.Lease = p.URL(), c.lease })
				short, long := r.send(1, args{}), r.send(1, args{For: c.lease + c.lease/2})
				ctx, cancel := context.WithTimeout(t.Context(), 50*c.delay+3*c.lease+patience)
				defer cancel()
				for _, err := range r.arb.WaitForTasks(ctx, short[0].ID(), long[0].ID()) {
					if err != nil {
						t.Fatal(err)
					}
				}
				r.results(short)
				r.results(long)
				if stalled := r.busy.Longest(); stalled > c.lease/20 {
					t.Logf("not judged: the machine stalled for %v, which may have ended a lease", stalled)
					return
				}
				r.cfg.Ledger.once(t, 2)
				if 8*c.delay >= c.lease {
					return // a heartbeat that opens a connection takes most of the lease, so a warning is right
				}
				if text := r.logs.String(); strings.Contains(text, "too short") || strings.Contains(text, "lease lost") || strings.Contains(text, "out of reach") {
					t.Errorf("the line is fast enough for the lease, but the log has a warning:\n%s", text)
				}
			})
		}
	}
}
