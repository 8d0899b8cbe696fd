package redis_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/task"
)

// counting is a broker that counts calls of Enqueue.
type counting struct {
	*redis.Broker
	enqueues atomic.Int64
}

func (c *counting) Enqueue(ctx context.Context, tasks []*broker.Task) error {
	c.enqueues.Add(1)
	return c.Broker.Enqueue(ctx, tasks)
}

// If a key has the wrong type, the error says so. It does not say that the server is unreachable, and
// an operation that only reads does not say that the outcome is unknown. An arbiter does not try
// again. When the key has been deleted the same call succeeds.
func TestKeyOfAnotherTypeIsTheReason(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		spoil := func(key string) {
			t.Helper()
			if err := raw.Set(t.Context(), keyBase("q")+key, "of another type", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		enqueue(t, b, newTask("q")) // registers the queue
		spoil("ready")
		spoil("state")
		spoil("due")
		spoil("dead")
		id := broker.NewID(broker.KindTask, "q", 0)
		_, lookup := b.Lookup(t.Context(), []broker.ID{id})
		_, cancel := b.Cancel(t.Context(), []broker.ID{id})
		_, _, letters := b.DeadLetters(t.Context(), "q", "", 10)
		_, queues := b.Queues(t.Context())
		for name, c := range map[string]struct {
			err    error
			writes bool // a part may have been done, so the error also wraps ErrIndeterminate
		}{
			"Enqueue": {b.Enqueue(t.Context(), []*broker.Task{newTask("q")}), true}, "Cancel": {cancel, true},
			"Lookup": {lookup, false}, "DeadLetters": {letters, false}, "Queues": {queues, false},
		} {
			if err := c.err; !errors.Is(err, broker.ErrDamaged) || errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrIndeterminate) != c.writes ||
				!strings.Contains(err.Error(), "WRONGTYPE") || !strings.Contains(err.Error(), "delete or rename") {
				t.Errorf("%s: %v", name, err)
			}
		}
		counted := &counting{Broker: b}
		arb, err := arbiter.New(counted)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		call := task.Define[struct{}, struct{}]("work", task.Queue("q")).Bind(struct{}{})
		if _, err := call.Send(t.Context(), arb); !errors.Is(err, task.ErrDamaged) {
			t.Errorf("Send: %v", err)
		}
		if n := counted.enqueues.Load(); n != 1 {
			t.Errorf("the arbiter has called Enqueue %d times, want once", n)
		}
		if err := raw.Del(t.Context(), keyBase("q")+"ready", keyBase("q")+"state", keyBase("q")+"due", keyBase("q")+"dead").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := call.Send(t.Context(), arb); err != nil {
			t.Errorf("the same call after the keys were deleted: %v", err)
		}
	})
}

// A script may have done a part before it comes to a key of the wrong type, and the error says that,
// too. When the key has been deleted, sending the same task again stores it once.
func TestKeyOfAnotherTypeHalfway(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b, raw := open(t, url), rawClient(t, url)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}, Slots: 1})
		if err := raw.Set(t.Context(), keyBase("q")+"about", "of another type", 0).Err(); err != nil {
			t.Fatal(err)
		}
		tasks := []*broker.Task{newTask("q", func(x *broker.Task) { x.Meta = map[string]string{"k": "v"} })}
		if err := b.Enqueue(t.Context(), tasks); !errors.Is(err, broker.ErrDamaged) || !errors.Is(err, broker.ErrIndeterminate) {
			t.Fatalf("Enqueue of a task whose metadata can't be stored: %v", err)
		}
		if err := raw.Del(t.Context(), keyBase("q")+"about").Err(); err != nil {
			t.Fatal(err)
		}
		enqueue(t, b, tasks...)
		for _, err := range settle(t, c, succeed(dequeue(t, c, 1, time.Second, "q")[0], "1")) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Dequeue(t.Context(), []string{"q"}, 1, 0); err != nil || len(got) > 0 {
			t.Errorf("the task was stored twice: %v, %v", got, err)
		}
	})
}
