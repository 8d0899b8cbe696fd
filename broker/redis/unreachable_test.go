package redis_test

import (
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// On a cluster, a consumer that could not register with one of its queues asks only the others for
// the tasks of a lost reply. It is not registered with the first one, and must not lose its lease
// for that.
func TestLostReplyBesideAnUnreachableQueue(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	cluster := redistest.StartCluster(t, path, 3)
	b := open(t, cluster.URL())
	raw := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{cluster.Nodes[0].Addr}})
	defer func() { _ = raw.Close() }()
	key := func(queue, what string) string { return "{" + redis.DefaultNamespace + ":" + queue + "}:" + what }
	spoil := func(key string) {
		t.Helper()
		if err := raw.Set(t.Context(), key, "of another type", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	mend := func(key string) {
		t.Helper()
		if err := raw.Del(t.Context(), key).Err(); err != nil {
			t.Fatal(err)
		}
	}
	queues := []string{"a", "b", "c"}
	spoil(key("a", "minions"))
	c := consume(t, b, broker.ConsumerConfig{Queues: queues})
	mend(key("a", "minions"))
	spoil(key("b", "due")) // a dequeue there fails, and may have handed out tasks
	tasks := make(map[broker.ID]bool)
	for _, q := range queues {
		if q == "b" {
			continue
		}
		task := newTask(q)
		enqueue(t, b, task)
		tasks[task.ID] = true
	}
	take := func(wait time.Duration) {
		t.Helper()
		got, err := c.Dequeue(t.Context(), queues, 10, wait)
		if errors.Is(err, broker.ErrLeaseLost) {
			t.Fatal(err)
		}
		for _, d := range got {
			delete(tasks, d.ID)
		}
	}
	for range 3 {
		take(50 * time.Millisecond)
	}
	if len(tasks) != 1 {
		t.Errorf("%d tasks were not handed out, want 1, of the unreachable queue", len(tasks))
	}
	mend(key("b", "due"))
	last := newTask("b")
	enqueue(t, b, last)
	tasks[last.ID] = true
	if err := c.Heartbeat(t.Context(), broker.Load{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		take(50 * time.Millisecond)
	}
	if len(tasks) > 0 {
		t.Errorf("%d tasks were not handed out after their queues were reachable again", len(tasks))
	}
}

// A minion that holds a task of an unreachable queue loses its registration there. When it registers
// again it must not get the task as the same attempt: the handler may have run, and its settlement
// was refused.
func TestRegistrationLostWhileUnreachable(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		key := func(what string) string { return "{" + redis.DefaultNamespace + ":a}:" + what }
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		queues := []string{"a", "b"}
		c := consume(t, b, broker.ConsumerConfig{Queues: queues})
		task := newTask("a")
		enqueue(t, b, task)
		got := dequeue(t, c, 1, 5*time.Second, queues...)
		check(raw.Set(t.Context(), key("due"), "of another type", 0).Err())
		_, err := c.Dequeue(t.Context(), queues, 1, 0) // from here on queue a counts as unreachable
		check(err)
		id := c.ID()
		check(raw.ZRem(t.Context(), key("minions"), string(id[:])).Err())
		check(raw.Del(t.Context(), key("due")).Err())
		if _, err := c.Settle(t.Context(), []broker.Settlement{succeed(got[0], "r")}); err != nil {
			t.Log(err)
		}
		_ = c.Heartbeat(t.Context(), broker.Load{})
		for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
			again, err := c.Dequeue(t.Context(), queues, 1, 50*time.Millisecond)
			if errors.Is(err, broker.ErrLeaseLost) {
				return // the minion registers under another id, and the task comes back as another attempt
			}
			if len(again) > 0 {
				t.Fatalf("attempt %d was delivered again", again[0].Attempt)
			}
			_ = c.Heartbeat(t.Context(), broker.Load{})
		}
		t.Error("the server has the task in flight at a minion that does not know it")
	})
}
