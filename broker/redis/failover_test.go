//go:build unix

package redis_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// When a master hangs and another one takes its place, the client library closes connections in use.
// No operation may return ErrClosed for that, since its caller would give up for good.
func TestFailoverIsNotTheEnd(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.StartSentinel(t, path, 3)
	b := open(t, s.URL(), redis.Lease(3*time.Second))
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	id := newTask("q").ID
	var wg sync.WaitGroup
	over := make(chan struct{})
	for name, do := range map[string]func(ctx context.Context) error{
		"enqueue":   func(ctx context.Context) error { return b.Enqueue(ctx, []*broker.Task{newTask("q")}) },
		"heartbeat": func(ctx context.Context) error { return c.Heartbeat(ctx, broker.Load{}) },
		"look-up":   func(ctx context.Context) error { _, err := b.Lookup(ctx, []broker.ID{id}); return err },
		"dequeue": func(ctx context.Context) error {
			_, err := c.Dequeue(ctx, []string{"empty"}, 1, time.Second)
			return err
		},
	} {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				if err := do(ctx); errors.Is(err, broker.ErrClosed) {
					t.Errorf("%s: %v", name, err)
					cancel()
					return
				}
				cancel()
				time.Sleep(time.Millisecond)
			}
		})
	}
	s.Nodes[0].Freeze(true)
	// An enqueue that succeeds from now on has reached the new master.
	for end := time.Now().Add(2 * time.Minute); ; {
		err := b.Enqueue(t.Context(), []*broker.Task{newTask("q")})
		if err == nil {
			break
		}
		if !errors.Is(err, broker.ErrUnavailable) || time.Now().After(end) {
			t.Errorf("after the failover: %v", err)
			break
		}
	}
	close(over)
	wg.Wait()
}
