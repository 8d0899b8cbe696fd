//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// behindProxy returns a rig whose connections all go through a proxy.
func behindProxy(t *testing.T, s *redistest.Server, opts ...redis.Option) (*rig, *redisproxy.Proxy) {
	t.Helper()
	p := redisproxy.Start(t, s.Addr)
	// A client gives up soon if a reply does not arrive.
	r := newRig(t, p.URL()+"?read_timeout=1s", append(opts, redis.Namespace(namespace(t)))...)
	return r, p
}

// A connection ends before a command, or between its execution and its reply, or falls silent
// there. Every task runs once, as attempt 1, with one result. Only silence can outlast a lease, so
// only then a task may run again.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	commands := map[string]redisproxy.Matcher{
		"enqueue": redisproxy.Script("enqueue"),
		"dequeue": redisproxy.Script("dequeue"),
		"settle":  redisproxy.Script("settle"),
		"beat":    redisproxy.Script("beat"),
		"blmove":  redisproxy.Named("blmove"),
	}
	actions := map[string]redisproxy.Action{
		"cut before":      redisproxy.CutBefore,
		"cut after":       redisproxy.CutAfter,
		"half open":       redisproxy.HalfOpen,
		"half open after": redisproxy.HalfOpenAfter,
	}
	for command, match := range commands {
		for action, do := range actions {
			t.Run(command+", "+action, func(t *testing.T) {
				t.Parallel()
				r, p := behindProxy(t, s)
				r.cfg.Lease = 3 * time.Second
				silent := do == redisproxy.HalfOpen || do == redisproxy.HalfOpenAfter
				r.minion(func(c *config) { c.Slots = 4 })
				r.results(r.send(5, args{}))
				in := p.Inject(redisproxy.Fault{Match: match, Do: do, Times: 2})
				futs := r.send(20, args{For: 5 * time.Millisecond})
				r.results(futs)
				if command == "blmove" || command == "beat" { // minions send these commands by themselves
					r.eventually("the fault has struck", func() bool { return in.Hits() > 0 })
				}
				if in.Hits() == 0 {
					t.Error("the fault has not struck")
				}
				in.Remove()
				r.results(r.send(5, args{}))
				if silent {
					r.cfg.Ledger.check(t)
				} else {
					r.cfg.Ledger.once(t, 30)
				}
			})
		}
	}
}

// All connections are cut again and again while tasks run.
func TestCuts(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	r, p := behindProxy(t, redistest.Start(t, path))
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{"default", "other"} })
	stop := r.stream(args{For: time.Millisecond})
	for range 15 {
		time.Sleep(100 * time.Millisecond)
		p.Cut()
	}
	futs := stop()
	r.results(futs)
	t.Logf("%d tasks", len(futs))
	r.cfg.Ledger.check(t)
}

// For longer than a lease nothing passes in either direction, and no connection ends. When traffic
// goes on, all tasks are done, and no attempt has run twice.
func TestFrozenNetwork(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	r, p := behindProxy(t, redistest.Start(t, path))
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{"default", "other"} })
	futs := r.send(50, args{For: 50 * time.Millisecond})
	r.started(5)
	p.Freeze(true)
	time.Sleep(2 * lease)
	p.Freeze(false)
	r.results(futs)
	r.results(r.send(5, args{}))
	starts := r.cfg.Ledger.check(t)
	again := 0
	for _, s := range starts {
		again += len(s) - 1
	}
	t.Logf("%d attempts were cut short", again)
}
