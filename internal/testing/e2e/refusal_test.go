//go:build unix

package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/task"
)

// refused checks that a task can't be sent now, and that the error names the reason. It returns the
// call.
func (r *rig) refused(reason string) task.Call[answer] {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	call := work.Bind(args{})
	began := time.Now()
	_, err := call.Send(ctx, r.arb)
	if !errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrIndeterminate) || !strings.Contains(err.Error(), reason) {
		r.Errorf("Send returned %v, want an error that wraps %v and contains %s", err, broker.ErrUnavailable, reason)
	} else {
		r.Logf("%v: %v", time.Since(began).Round(time.Millisecond), err)
	}
	return call
}

// again sends a call that was refused before, and waits for its result.
func (r *rig) again(call task.Call[answer]) {
	r.Helper()
	fut, err := call.Send(r.Context(), r.arb)
	if err != nil {
		r.Fatal(err)
	}
	r.results([]*task.Future[answer]{fut})
}

// A full server refuses new tasks, and finishes the old ones.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	r, s := onServer(t, "--maxmemory-policy", "noeviction")
	if r == nil {
		return
	}
	r.minion(func(c *config) { c.Slots = 3 })
	running := r.send(3, args{For: 500 * time.Millisecond})
	waiting := r.send(20, args{})
	r.started(3)
	if err := s.Client().ConfigSet(t.Context(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	call := r.refused("OOM")
	r.results(running)
	r.results(waiting)
	if err := s.Client().ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	r.again(call)
	r.cfg.Ledger.once(t, 24)
}

// A server that becomes a replica refuses all writes. When it is a master again, everything goes
// on.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	if r == nil {
		return
	}
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{"a", "b"} })
	futs := r.send(5, args{For: 200 * time.Millisecond})
	r.started(5)
	c := s.Client()
	if err := c.Do(t.Context(), "replicaof", "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	call := r.refused("READONLY")
	if err := c.Do(t.Context(), "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	r.results(futs)
	r.again(call)
	r.results(r.send(5, args{}, task.Queue("b")))
	r.cfg.Ledger.check(t)
}

// A server that loads its file is not ready, both for Open and for clients that are connected
// already.
func TestLoading(t *testing.T) {
	t.Parallel()
	r, s := onServer(t, "--appendonly", "yes", "--appendfsync", "always")
	if r == nil {
		return
	}
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{"a", "b"} })
	r.results(r.send(5, args{}))
	c := s.Client()
	pipe := c.Pipeline()
	for range 20_000 {
		pipe.Incr(t.Context(), "ballast")
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	// Loading takes two seconds or more. The server answers after every 1024 commands.
	s.Launch("--key-load-delay", "100")
	r.eventually("the server is loading", func() bool {
		err := c.Ping(t.Context()).Err()
		return err != nil && strings.HasPrefix(err.Error(), "LOADING")
	})
	_, err := redis.Open(t.Context(), r.cfg.URL)
	if !errors.Is(err, broker.ErrUnavailable) || !strings.Contains(err.Error(), "LOADING") {
		t.Errorf("open: %v", err)
	} else {
		t.Log(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, queue := range []string{task.DefaultQueue, "a", "b"} {
		fut, err := r.insist(ctx, work.With(task.Queue(queue)).Bind(args{}))
		if err != nil {
			t.Fatal(err)
		}
		r.results([]*task.Future[answer]{fut})
	}
	r.cfg.Ledger.check(t)
}

// A server loses its scripts again and again. The clients send them again.
func TestScriptFlush(t *testing.T) {
	t.Parallel()
	r, s := onServer(t)
	if r == nil {
		return
	}
	r.minion()
	r.minion(func(c *config) { c.Queues = []string{task.DefaultQueue, "a", "b"} })
	stop := r.stream(args{})
	c := s.Client()
	flushes := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); flushes++ {
		if err := c.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	futs := stop()
	r.results(futs)
	t.Logf("%d tasks, %d flushes", len(futs), flushes)
	r.cfg.Ledger.once(t, len(futs))
}
