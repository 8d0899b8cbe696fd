package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/redistest"
)

// A dequeue that gave up takes nothing afterwards, also where the server may
// not be told to end its blocking move.
func TestWaitThatWasGivenUp(t *testing.T) {
	onEach(t, gaveUp)
	path := redistest.Path(t)
	if path == "" {
		return // Path has said why
	}
	t.Run("without CLIENT commands", func(t *testing.T) {
		url := "redis://" + redistest.Start(t, path).Addr
		opts, err := goredis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		raw := goredis.NewClient(opts)
		defer func() { _ = raw.Close() }()
		if err := raw.Do(t.Context(), "ACL", "SETUSER", "some", "on", ">secret", "~*", "&*", "+@all", "-client").Err(); err != nil {
			t.Fatal(err)
		}
		gaveUp(t, "redis://some:secret@"+opts.Addr)
	})
}

func gaveUp(t *testing.T, url string) {
	b := open(t, url, redis.Lease(5*time.Second))
	first := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		got, err := first.Dequeue(ctx, []string{"q"}, 1, time.Minute)
		cancel()
		if len(got) != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Dequeue whose ctx ended: %d tasks, %v", len(got), err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Fatalf("it took %v", took)
		}
	}
	time.Sleep(50 * time.Millisecond) // a server sees later that a connection was closed
	task := newTask("q")
	if err := b.Enqueue(t.Context(), []*broker.Task{task}); err != nil {
		t.Fatal(err)
	}
	second := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	if got := dequeue(t, second, 1, 2*time.Second, "q"); len(got) != 1 || got[0].ID != task.ID || got[0].Attempt != 1 {
		t.Fatalf("the other one got %v", got)
	}
}
