package redis_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/brokertest"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/redistest"
)

var namespaces atomic.Int64

// harness opens a namespace of its own on a server.
func harness(t testing.TB, url string, prompt time.Duration, opts ...redis.Option) brokertest.Harness {
	const lease = 1500 * time.Millisecond
	namespace := fmt.Sprintf("ns%d", namespaces.Add(1))
	reopen := func(t testing.TB) broker.Broker {
		opts := append([]redis.Option{redis.Namespace(namespace), redis.Lease(lease)}, opts...)
		b, err := redis.Open(context.Background(), url, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	addr, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	raw := goredis.NewClient(addr)
	t.Cleanup(func() { _ = raw.Close() })
	return brokertest.Harness{
		Broker: reopen(t), Lease: lease, Reopen: reopen, Prompt: prompt,
		Malform: func(queue string, record []byte) {
			if err := raw.RPush(context.Background(), "{"+namespace+":"+queue+"}:ready", record).Err(); err != nil {
				t.Error(err)
			}
		},
	}
}

// The whole suite on Redis' stand-in, and on a server.
func TestConformanceMiniredis(t *testing.T) {
	brokertest.Run(t, brokertest.Config{
		Parallel: true, Light: true,
		Open: func(t testing.TB) brokertest.Harness {
			// It can't be told to end a wait, which makes some things slower.
			return harness(t, "redis://"+miniredis.RunT(t).Addr(), 200*time.Millisecond)
		},
	})
}

func TestConformanceServer(t *testing.T) {
	path := redistest.Path(t)
	if path == "" {
		return // Path has said why
	}
	server := redistest.Start(t, path)
	brokertest.Run(t, brokertest.Config{
		Parallel: true,
		Open:     func(t testing.TB) brokertest.Harness { return harness(t, "redis://"+server.Addr, prompt) },
	})
}

// The same with records kept apart, whatever their size, and as a user with the
// ACL of the documentation.
func TestConformanceApart(t *testing.T) {
	url := "redis://" + miniredis.RunT(t).Addr()
	if path := redistest.Path(t); path != "" {
		url = allow(t, redistest.Start(t, path))
	}
	brokertest.Run(t, brokertest.Config{
		Parallel: true,
		Open: func(t testing.TB) brokertest.Harness {
			return harness(t, url, prompt, redis.ApartFrom(0))
		},
	})
}
