package redis_test

import (
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/redistest"
)

// On a cluster, a consumer that could not register with one of its queues asks the
// others, and only them, what a lost reply had: that it is unknown there costs it no
// lease.
func TestLostReplyBesideAQueueThatIsAway(t *testing.T) {
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
	spoil(key("b", "due")) // what a dequeue there has done is not known
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
		t.Errorf("%d tasks were not handed out, want that of the queue that is away", len(tasks))
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
		t.Errorf("%d tasks were not handed out once their queues were back", len(tasks))
	}
}
