package redistest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

func TestRestart(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	ctx := context.Background()
	s := redistest.Start(t, path, "--appendonly", "yes", "--appendfsync", "always")
	c := s.Client()
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Kill()
	if err := c.Ping(ctx).Err(); err == nil {
		t.Error("a killed server still answers")
	}
	s.Restart()
	if v, err := c.Get(ctx, "k").Result(); err != nil || v != "v" {
		t.Errorf("GET after a restart returned %q, %v", v, err)
	}
	s.Kill()
	s.Restart("--appendonly", "no")
	if err := c.Get(ctx, "k").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("GET after a restart without the file returned %v", err)
	}
}

func TestTopologies(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	t.Run("tls", func(t *testing.T) {
		t.Parallel()
		s, conf := redistest.StartTLS(t, path)
		c := redis.NewClient(&redis.Options{Addr: s.Addr, TLSConfig: conf})
		defer func() { _ = c.Close() }()
		if err := c.Ping(context.Background()).Err(); err != nil {
			t.Error(err)
		}
	})
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		s := redistest.StartSentinel(t, path, 1)
		c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.Name, SentinelAddrs: []string{s.Sentinels[0].Addr}})
		defer func() { _ = c.Close() }()
		if err := c.Set(context.Background(), "k", "v", 0).Err(); err != nil {
			t.Error(err)
		}
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		s := redistest.StartCluster(t, path, 3)
		c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Nodes[0].Addr}})
		defer func() { _ = c.Close() }()
		for _, k := range []string{"a", "b", "c", "d", "e", "f"} {
			if err := c.Set(context.Background(), k, "v", 0).Err(); err != nil {
				t.Error(err)
			}
		}
	})
}
