//go:build unix

package e2e

import (
	"sync/atomic"
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
			url, lag := shifted(t, offset)
			testClocks(newRig(t, url), lag)
		})
	}
}

// shifted starts a server with a wrong clock, and returns its URL. SetTime stops the clock, so it is
// set again and again. On a busy machine the steps are long: lag returns how much the clock has been
// behind its time at most.
func shifted(t *testing.T, offset time.Duration) (url string, lag func() time.Duration) {
	s := miniredis.RunT(t)
	set := time.Now()
	s.SetTime(set.Add(offset))
	over, ended := make(chan struct{}), make(chan struct{})
	var longest atomic.Int64
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-time.After(2 * time.Millisecond):
				now := time.Now()
				s.SetTime(now.Add(offset))
				longest.Store(max(longest.Load(), int64(time.Since(set))))
				set = now
			}
		}
	}()
	t.Cleanup(func() { close(over); <-ended })
	return "redis://" + s.Addr() + "/0", func() time.Duration { return time.Duration(longest.Load()) }
}

func testClocks(r *rig, lag func() time.Duration) {
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{"a", "b"} })
	for _, queue := range []string{task.DefaultQueue, "a"} {
		q := task.Queue(queue)
		began := time.Now()
		delayed := r.send(1, args{}, q, task.Delay(500*time.Millisecond))
		r.results(r.send(20, args{}, q))
		r.results(delayed)
		// A clock that is behind when the task is sent makes the delay shorter.
		if d := time.Since(began); d < 495*time.Millisecond-lag() || d > r.busy.Late(5*time.Second) {
			r.Errorf("queue %s: a delay of 500ms took %v, and the server's clock was behind by up to %v", queue, d, lag())
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
