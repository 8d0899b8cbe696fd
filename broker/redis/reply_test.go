package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
)

// garbler is a hook of a client. When it is armed it changes the next reply of a script that
// hands out messages.
type garbler struct{ change func(reply []string) []string }

func (*garbler) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (*garbler) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (g *garbler) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		list, ok := cmd.(interface {
			Val() []string
			SetVal(list []string)
		})
		if ok && err == nil && g.change != nil && len(list.Val()) > 4 {
			list.SetVal(g.change(list.Val()))
			g.change = nil
		}
		return err
	}
}

// A reply of a form that the script never returns is an error. The tasks that the script has
// handed out come with the next call.
func TestGarbledDequeue(t *testing.T) {
	t.Parallel()
	count := func(n string) func([]string) []string {
		return func(reply []string) []string { reply[3] = n; return reply }
	}
	for name, change := range map[string]func([]string) []string{
		"empty":    func([]string) []string { return []string{} },
		"cut off":  func(reply []string) []string { return reply[:3] },
		"too many": count("7"),
		"negative": count("-1"),
	} {
		client := goredis.NewClient(&goredis.Options{Addr: miniredis.RunT(t).Addr()})
		var g garbler
		client.AddHook(&g)
		b, err := redis.New(client, unhurried)
		if err != nil {
			t.Fatal(err)
		}
		task := newTask("q")
		enqueue(t, b, task)
		c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		g.change = change
		if got, err := c.Dequeue(t.Context(), []string{"q"}, 1, time.Second); !errors.Is(err, broker.ErrIndeterminate) || len(got) > 0 {
			t.Errorf("%s: %d tasks, %v", name, len(got), err)
		}
		if got := dequeue(t, c, 1, 5*time.Second, "q"); len(got) != 1 || got[0].ID != task.ID || got[0].Attempt != 1 {
			t.Errorf("%s: then came %+v", name, got)
		}
		if err := errors.Join(b.Close(), client.Close()); err != nil {
			t.Error(err)
		}
	}
}
