package redis_test

import (
	"encoding/hex"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// A minion with very many slots may take as many tasks one by one, each with a blocking move. All of
// them are in its claim list when it settles the first one, or when it leaves.
func TestManySingleClaims(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" { // miniredis has no cursors and returns a hash in one page
		return
	}
	url := redistest.Start(t, path).URL()
	const n = 4500 // more than Lua's unpack can return with an id for each
	b, raw := open(t, url), rawClient(t, url)
	first := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: n})
	second := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: n})
	more := func() {
		t.Helper()
		tasks := make([]*broker.Task, n)
		for i := range tasks {
			tasks[i] = newTask("q")
		}
		enqueue(t, b, tasks...)
	}
	more()
	d := dequeue(t, first, 1, time.Second, "q")[0]
	id := first.ID()
	queue := "{" + redis.DefaultNamespace + ":q}:"
	move := func() {
		t.Helper()
		pipe := raw.Pipeline()
		for range n {
			pipe.LMove(t.Context(), queue+"ready", queue+"claim:"+hex.EncodeToString(id[:]), "LEFT", "RIGHT")
		}
		if _, err := pipe.Exec(t.Context()); err != nil && !errors.Is(err, goredis.Nil) {
			t.Fatal(err)
		}
	}
	move()
	if errs := settle(t, first, succeed(d, "")); errs[0] != nil {
		t.Fatal(errs[0])
	}
	if left, err := raw.LLen(t.Context(), queue+"claim:"+hex.EncodeToString(id[:])).Result(); err != nil || left > 0 {
		t.Fatalf("%d tasks are left in the claim list, %v", left, err)
	}
	more()
	move()
	if err := first.Close(t.Context()); err != nil {
		t.Fatalf("leave: %v", err)
	}
	dequeue(t, second, 2*n-1, 10*time.Second, "q")
}
