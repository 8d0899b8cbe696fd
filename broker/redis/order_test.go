package redis_test

import (
	"context"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// interrupted is a hook of a client. It sends the first script of a pipeline alone, then lets
// another client send its requests, and then sends the rest.
type interrupted struct{ by func() }

func (*interrupted) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (*interrupted) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }
func (h *interrupted) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		for i, cmd := range cmds {
			if by := h.by; by != nil && strings.HasPrefix(cmd.Name(), "eval") {
				h.by = nil
				_ = next(ctx, cmds[:i+1]) // each command has its own error
				by()
				_ = next(ctx, cmds[i+1:])
				return nil
			}
		}
		return next(ctx, cmds)
	}
}

// Tasks of one Enqueue keep their order, also in this case: they take two runs of the script,
// the server does not know the script at the first one, and learns it from another client
// before the second one.
func TestOrderOfManyWithoutScripts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		opt, err := goredis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		client := goredis.NewClient(opt)
		t.Cleanup(func() { _ = client.Close() })
		hook := &interrupted{}
		client.AddHook(hook)
		b, err := redis.New(client)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		other := open(t, url)
		enqueue(t, b, newTask("q")) // registers the queue
		enqueue(t, other, newTask("other"))
		if err := client.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		const n = broker.MaxBatch + 5
		tasks := make([]*broker.Task, n)
		for i := range tasks {
			tasks[i] = newTask("q")
		}
		hook.by = func() { enqueue(t, other, newTask("other")) }
		enqueue(t, b, tasks...)
		if hook.by != nil {
			t.Fatal("the other client did not get between the scripts")
		}
		c := consume(t, other, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 2 * n})
		got := dequeue(t, c, n+1, 5*time.Second, "q")
		for i, task := range tasks {
			if got[i+1].ID != task.ID {
				t.Fatalf("task %d is %s, want %s", i, got[i+1].ID, task.ID)
			}
		}
	})
}
