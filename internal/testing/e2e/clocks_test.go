//go:build unix

package e2e

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// The clock of the server is hours ahead of the clients' clocks, or behind them. Delays, leases and
// retention are right all the same, because only the server's clock counts. Two clients with
// different clocks meet only through the server, so this covers them too.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	for name, offset := range map[string]time.Duration{"server ahead": 5 * time.Hour, "server behind": -5 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testClocks(newRig(t, shifted(t, offset)))
		})
	}
}

// shifted starts a server with a wrong clock, and returns its URL.
func shifted(t *testing.T, offset time.Duration) string {
	s := miniredis.RunT(t)
	s.SetTime(time.Now().Add(offset))
	over, ended := make(chan struct{}), make(chan struct{})
	go func() { // SetTime stops the clock, so it is set again and again
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-time.After(2 * time.Millisecond):
				s.SetTime(time.Now().Add(offset))
			}
		}
	}()
	t.Cleanup(func() { close(over); <-ended })
	return "redis://" + s.Addr() + "/0"
}

func testClocks(r *rig) {
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{"a", "b"} })
	for _, queue := range []string{task.DefaultQueue, "a"} {
		q := task.Queue(queue)
		began := time.Now()
		delayed := r.send(1, args{}, q, task.Delay(500*time.Millisecond))
		r.results(r.send(20, args{}, q))
		r.results(delayed)
		if d := time.Since(began); d < 450*time.Millisecond || d > r.busy.Late(5*time.Second) {
			r.Errorf("queue %s: a delay of 500ms took %v", queue, d) // the clock advances in steps
		}
		kept := r.send(1, args{}, q, task.Retention(time.Minute))[0]
		if _, err := kept.Result(r.Context()); err != nil {
			r.Error(err)
		}
		if st, err := r.arb.Status(r.Context(), kept.ID()); err != nil || st.State != broker.StateSucceeded {
			r.Errorf("queue %s: a result kept for a minute: %+v, %v", queue, st, err)
		}
	}
	// A lease holds while it is renewed, and ends when it is not.
	long := r.send(3, args{For: 2 * lease})
	for i, a := range r.results(long) {
		if a.Attempt != 1 {
			r.Errorf("task %d lost its lease: %+v", i, a)
		}
	}
	r.killsOther()
	r.cfg.Ledger.check(r)
}

// killsOther lets a minion in a process take a task, and kills the process.
func (r *rig) killsOther() {
	r.Helper()
	p := r.process(func(c *config) { c.Queues = []string{"victim"} })
	futs := r.send(1, args{Hang: true}, task.Queue("victim"))
	r.eventually("the process runs the task", func() bool { return r.cfg.Ledger.starts(r, p.PID) == 1 })
	p.Kill()
	began := time.Now()
	r.minion(func(c *config) { c.Queues = []string{"victim"} })
	r.results(futs)
	if d := time.Since(began); d > r.busy.Late(4*lease) {
		r.Errorf("the task of a killed minion ran again only after %v", d)
	}
}
