package redis_test

import (
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

// keyBase returns how all keys of a queue begin.
func keyBase(queue string) string { return "{" + redis.DefaultNamespace + ":" + queue + "}:" }

// unregister removes the registrations of all minions of a queue, as a loss of data would.
func unregister(t *testing.T, raw goredis.Cmdable, queue string) {
	t.Helper()
	if n, err := raw.Del(t.Context(), keyBase(queue)+"minions").Result(); err != nil || n != 1 {
		t.Fatalf("removed %d registrations, %v", n, err)
	}
}

// A minion learns from its next settlement that its registration was lost. The tasks that it
// has taken meanwhile come back when it closes, and no recovery is counted.
func TestUnregisteredMinionGivesBack(t *testing.T) {
	t.Parallel()
	for name, loses := range map[string]func(t *testing.T, raw *goredis.Client){
		"its entry is removed": func(t *testing.T, raw *goredis.Client) { unregister(t, raw, "q") },
		"the server is emptied": func(t *testing.T, raw *goredis.Client) {
			if err := raw.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, url string) {
				b, raw := open(t, url), rawClient(t, url)
				c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
				type got struct {
					d   []*broker.Delivery
					err error
				}
				came := make(chan got)
				go func() {
					d, err := c.Dequeue(t.Context(), []string{"q"}, 1, time.Minute)
					came <- got{d, err}
				}()
				time.Sleep(20 * time.Millisecond) // so that it most likely waits; the test also holds if it does not
				loses(t, raw)
				tasks := make(map[broker.ID]bool)
				for range 5 {
					x := newTask("q")
					tasks[x.ID] = true
					enqueue(t, b, x)
				}
				g := <-came
				if g.err == nil && len(g.d) == 1 {
					if errs := settle(t, c, succeed(g.d[0], "1")); !errors.Is(errs[0], broker.ErrLeaseLost) {
						t.Errorf("settlement of a minion that is not registered: %v", errs[0])
					}
				} else if !errors.Is(g.err, broker.ErrLeaseLost) {
					t.Fatalf("the waiting dequeue got %d tasks, %v", len(g.d), g.err)
				}
				if _, err := c.Dequeue(t.Context(), []string{"q"}, 1, time.Minute); !errors.Is(err, broker.ErrLeaseLost) {
					t.Errorf("the next dequeue: error %v", err)
				}
				if err := c.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				next := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
				for _, d := range dequeue(t, next, 5, 5*time.Second, "q") {
					if d.Recoveries != 0 {
						t.Errorf("the task has %d recoveries, want none", d.Recoveries)
					}
					delete(tasks, d.ID)
				}
				if len(tasks) > 0 {
					t.Errorf("%d tasks did not come back", len(tasks))
				}
			})
		})
	}
}

// A minion whose registration was lost has died. Another minion finds the tasks that it held,
// also in a queue that this minion does not serve. It leaves tasks of other minions alone.
func TestTasksWithoutAnOwnerAreFound(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) { found(t, url, rawClient(t, url)) })
}

// The same on a cluster. In the short form one server plays a cluster, since it takes seconds
// to start a real one.
func TestTasksWithoutAnOwnerAreFoundOnCluster(t *testing.T) {
	t.Parallel()
	body := func(t *testing.T, addrs ...string) {
		rdb := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs})
		t.Cleanup(func() { _ = rdb.Close() })
		found(t, "redis+cluster://"+addrs[0], rdb)
	}
	if !testform.Long() {
		body(t, miniredis.RunT(t).Addr())
		return
	}
	onClusters(t, body)
}

// found is the body of both tests.
func found(t *testing.T, url string, raw goredis.Cmdable) {
	b := open(t, url, redis.Lease(900*time.Millisecond))
	parts := open(t, url, redis.Lease(900*time.Millisecond), redis.Partitions(3))
	var sent []*broker.Task
	for range 6 {
		sent = append(sent, newTask("q"))
	}
	enqueue(t, b, sent...)
	gone := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
	dequeue(t, gone, 4, time.Second, "q")
	id := gone.ID()
	if err := raw.LMove(t.Context(), keyBase("q")+"ready", keyBase("q")+"claim:"+hex.EncodeToString(id[:]), "LEFT", "RIGHT").Err(); err != nil {
		t.Fatal(err)
	}
	elsewhere := newTask("parts")
	enqueue(t, parts, elsewhere)
	goneToo := consume(t, parts, broker.ConsumerConfig{Queues: []string{"parts"}, Slots: 10})
	dequeue(t, goneToo, 1, time.Second, "parts")
	unregister(t, raw, "q")
	for _, n := range []string{"0", "1", "2"} {
		_ = raw.Del(t.Context(), keyBase("parts:"+n)+"minions").Err()
	}
	// The cancel script does not see that this task runs. The task ends, and must not start again.
	if v, err := b.Cancel(t.Context(), []broker.ID{sent[0].ID}); err != nil || v[0] != broker.CancelPrevented {
		t.Fatalf("Cancel: %v, %v", v, err)
	}
	other := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 10})
	held := dequeue(t, other, 1, time.Second, "q") // the sixth task
	for left, end := 4, time.Now().Add(2*time.Minute); left > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d tasks were not found", left)
		}
		if err := other.Heartbeat(t.Context(), broker.Load{}); err != nil {
			t.Fatal(err)
		}
		got, err := other.Dequeue(t.Context(), []string{"q"}, 10, 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if d.Attempt != 2 || d.Recoveries != 0 || d.ID == sent[0].ID || d.ID == held[0].ID {
				t.Errorf("got %s, attempt %d, with %d recoveries", d.ID, d.Attempt, d.Recoveries)
			}
			left--
		}
		if t.Context().Err() != nil {
			return
		}
	}
	if errs := settle(t, other, succeed(held[0], "1")); errs[0] != nil {
		t.Errorf("a settlement of the other minion: %v", errs[0])
	}
	// The task of the queue that the finder does not serve came back, too.
	for {
		if err := other.Heartbeat(t.Context(), broker.Load{}); err != nil {
			t.Fatal(err)
		}
		infos, err := parts.Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pending := 0
		for _, info := range infos {
			if info.Name == "parts" {
				pending += info.Pending
			}
		}
		if pending == 1 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
}
