package redis_test

import (
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
)

// A minion that was taken for dead in a queue, and has joined it again since,
// finds a fence where its blocking moves would bring messages. It settles all
// the same, and what it holds comes back when it leaves.
func TestJoinedBehindAFence(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		if err := b.Enqueue(t.Context(), []*broker.Task{newTask("q"), newTask("q")}); err != nil {
			t.Fatal(err)
		}
		got := dequeue(t, c, 2, time.Second, "q")
		o, err := goredis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		admin := goredis.NewClient(o)
		defer func() { _ = admin.Close() }()
		flights, err := admin.Keys(t.Context(), "*flight:*").Result()
		if err != nil || len(flights) != 1 {
			t.Fatal(flights, err)
		}
		claim := strings.Replace(flights[0], "flight:", "claim:", 1)
		if err := admin.Set(t.Context(), claim, "left", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		if errs := settle(t, c, succeed(got[0], "1")); errs[0] != nil {
			t.Errorf("settle: %v", errs[0])
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		other := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		if again := dequeue(t, other, 1, time.Second, "q"); again[0].ID != got[1].ID || again[0].Attempt != 2 {
			t.Errorf("got %+v, want the second task again", again[0])
		}
	})
}
