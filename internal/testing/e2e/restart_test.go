//go:build unix

package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/task"
)

// insist sends a call until it is stored. It is the same call each time, so it is stored once.
func (r *rig) insist(ctx context.Context, call task.Call[answer]) (*task.Future[answer], error) {
	for {
		fut, err := call.Send(ctx, r.arb)
		if err == nil || ctx.Err() != nil || !errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrIndeterminate) {
			return fut, err
		}
	}
}

// stream sends tasks to the queues in turn until the returned function is called. That function
// returns the futures.
func (r *rig) stream(a args, queues ...string) (stop func() []*task.Future[answer]) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	over := make(chan struct{})
	out := make(chan []*task.Future[answer], 1)
	go func() {
		var futs []*task.Future[answer]
		defer func() { out <- futs }()
		for a.N = 0; ; a.N++ {
			call := work.Bind(a)
			if len(queues) > 0 {
				call = call.With(task.Queue(queues[a.N%len(queues)]))
			}
			fut, err := r.insist(ctx, call)
			if err != nil {
				r.Errorf("Send of task %d: %v", a.N, err)
				return
			}
			futs = append(futs, fut)
			select {
			case <-over:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() []*task.Future[answer] {
		defer cancel()
		close(over)
		return <-out
	}
}

// The server is killed and restarted with its append-only file, twice, while tasks are sent and
// run. No accepted task is lost, and each has one result. Tasks whose settlements were in transit
// may run again.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	r, s := onServer(t, "--appendonly", "yes", "--appendfsync", "always")
	if r == nil {
		return
	}
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{task.DefaultQueue, "other"} })
	stop := r.stream(args{For: 5 * time.Millisecond})
	for _, pause := range []time.Duration{300 * time.Millisecond, 2 * lease} {
		time.Sleep(300 * time.Millisecond)
		s.Kill()
		time.Sleep(pause)
		s.Restart()
	}
	time.Sleep(300 * time.Millisecond)
	futs := stop()
	r.results(futs)
	t.Logf("%d tasks", len(futs))
	if starts := r.cfg.Ledger.check(t); len(starts) != len(futs) {
		t.Errorf("%d tasks were started, but %d were accepted", len(starts), len(futs))
	}
}

// The server restarts empty. Waits for the lost tasks end with an error, and the same minions and
// arbiter go on.
func TestEmptyServer(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	if r == nil {
		return
	}
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{"a", "b"} })
	lost := r.send(3, args{Hang: true}) // running
	r.started(3)
	lost = append(lost, r.send(2, args{}, task.Delay(time.Hour))...)
	s.Kill()
	time.Sleep(200 * time.Millisecond)
	s.Restart()
	began := time.Now()
	for i, f := range lost {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := f.Result(ctx)
		if !errors.Is(err, task.ErrNotFound) {
			t.Errorf("the wait for task %d ended with %v, want an error that wraps %v", i, err, task.ErrNotFound)
		}
		cancel()
	}
	t.Logf("the waits ended after %v", time.Since(began).Round(time.Millisecond))
	for _, queue := range []string{task.DefaultQueue, "a", "b"} {
		began := time.Now()
		r.results(r.send(20, args{}, task.Queue(queue)))
		r.results(r.send(1, args{}, task.Queue(queue), task.Delay(100*time.Millisecond)))
		t.Logf("queue %s is served again after %v", queue, time.Since(began).Round(time.Millisecond))
	}
	r.workers(2)
	hang := r.send(1, args{Hang: true})[0]
	r.eventually("the last task is running", func() bool {
		st, err := r.arb.Status(t.Context(), hang.ID())
		return err == nil && st.Phase() == broker.PhaseRunning
	})
	if v, err := r.arb.Kill(t.Context(), hang.ID(), arbiter.Wait()); err != nil || v != arbiter.Stopped {
		t.Errorf("the kill returned %v, %v", v, err)
	}
}
