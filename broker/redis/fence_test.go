package redis_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// cutOff is a hook of a client that can't reach the server of one queue while now is true.
type cutOff struct {
	queue string
	now   atomic.Bool
}

func (*cutOff) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h *cutOff) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if h.hits(cmd) {
			return io.ErrUnexpectedEOF
		}
		return next(ctx, cmd)
	}
}

func (h *cutOff) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		var through []goredis.Cmder
		for _, cmd := range cmds {
			if !h.hits(cmd) {
				through = append(through, cmd)
			}
		}
		return next(ctx, through)
	}
}

// hits reports whether a command has to fail, and sets its error.
func (h *cutOff) hits(cmd goredis.Cmder) bool {
	if !h.now.Load() {
		return false
	}
	for _, a := range cmd.Args() {
		if s, ok := a.(string); ok && strings.HasPrefix(s, "{"+redis.DefaultNamespace+":"+h.queue+"}") {
			cmd.SetErr(io.ErrUnexpectedEOF)
			return true
		}
	}
	return false
}

// onClusters runs a test on miniredis with a cluster client, and on a real cluster.
func onClusters(t *testing.T, body func(t *testing.T, addrs ...string)) {
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		body(t, miniredis.RunT(t).Addr())
	})
	if path := redistest.Path(t); path != "" {
		t.Run("redis-server", func(t *testing.T) {
			t.Parallel()
			var addrs []string
			for _, n := range redistest.StartCluster(t, path, 3).Nodes {
				addrs = append(addrs, n.Addr)
			}
			body(t, addrs...)
		})
	}
}

// A minion that can't reach the server of one of its queues counts as dead there, and a fence is set
// where its blocking moves would bring messages. When it reaches the queue again it works there
// as before.
func TestJoinedBehindItsFence(t *testing.T) {
	t.Parallel()
	const lease = 1500 * time.Millisecond
	onClusters(t, func(t *testing.T, addrs ...string) {
		brokerOf := func(hooks ...goredis.Hook) broker.Broker {
			rdb := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs})
			t.Cleanup(func() { _ = rdb.Close() })
			for _, h := range hooks {
				rdb.AddHook(h)
			}
			b, err := redis.New(rdb, redis.Lease(lease))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			return b
		}
		heartbeat := func(who string, c broker.Consumer) {
			t.Helper()
			if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil {
				t.Fatalf("heartbeat of %s: %v", who, err)
			}
		}
		cut := &cutOff{queue: "q"}
		c := consume(t, brokerOf(cut), broker.ConsumerConfig{Queues: []string{"p", "q"}})
		b := brokerOf()
		other := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		cut.now.Store(true)
		for end := time.Now().Add(2 * lease); time.Now().Before(end); time.Sleep(lease / 4) {
			heartbeat("the one that is cut off", c)
			heartbeat("the other one", other) // in the end it removes the first one from q as dead
		}
		if err := other.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		cut.now.Store(false)
		heartbeat("the one that is back", c) // registers again

		tasks := []*broker.Task{newTask("q"), newTask("q")}
		if err := b.Enqueue(t.Context(), tasks); err != nil {
			t.Fatal(err)
		}
		got := dequeue(t, c, 2, time.Second, "q")
		for end := time.Now().Add(2 * lease); time.Now().Before(end); time.Sleep(lease / 4) {
			heartbeat("the one that is back", c)
		}
		if st, err := b.Lookup(t.Context(), []broker.ID{got[0].ID}); err != nil || st[0].Minion != c.ID() {
			t.Errorf("look-up: %+v, %v", st, err)
		}
		if errs := settle(t, c, succeed(got[0], "1")); errs[0] != nil {
			t.Errorf("settle: %v", errs[0])
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		last := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		if again := dequeue(t, last, 1, time.Second, "q"); again[0].ID != got[1].ID || again[0].Attempt != 2 {
			t.Errorf("got %+v, want the second attempt at task %s", again[0], got[1].ID)
		}
	})
}
