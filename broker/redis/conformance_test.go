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
	"github.com/go-arbiter/arbiter/internal/testform"
)

var namespaces atomic.Int64

// Where a lease ends the test waits for it, so it is short. It is not so short that
// a machine that is busy with other things ends one that is kept.
const (
	shortLease = 2 * time.Second
	longLease  = time.Minute
)

// prompt is how late a push may be. The broker looks by itself after a second at
// the earliest, so a lost push is seen.
const prompt = 200 * time.Millisecond

// harness opens a namespace of its own on a server.
func harness(t testing.TB, url string, lease time.Duration, opts ...redis.Option) brokertest.Harness {
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

// suite runs the whole suite on what url returns.
func suite(t *testing.T, cfg brokertest.Config, url func(t testing.TB) string, opts ...redis.Option) {
	t.Helper()
	cfg.Parallel = true
	cfg.ModelTime = testform.Pick(time.Second, 5*time.Second)
	cfg.Open = func(t testing.TB) brokertest.Harness { return harness(t, url(t), shortLease, opts...) }
	cfg.Patient = func(t testing.TB) brokertest.Harness { return harness(t, url(t), longLease, opts...) }
	brokertest.Run(t, cfg)
}

// ping returns what asks a server for the least that it answers.
func ping(t *testing.T, url string) func() error {
	t.Helper()
	opts, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return func() error { return client.Ping(context.Background()).Err() }
}

// The whole suite on Redis' stand-in, and on a server. The short form runs one of
// them: the server if there is one.
func TestConformanceMiniredis(t *testing.T) {
	t.Parallel()
	if !testform.Long() && redistest.Path(t) != "" {
		t.Log("left to TestConformanceServer; the long form runs both")
		return
	}
	suite(t, brokertest.Config{Light: true}, func(t testing.TB) string { return "redis://" + miniredis.RunT(t).Addr() })
}

func TestConformanceServer(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return // Path has said why
	}
	server := redistest.Start(t, path)
	url := server.URL()
	if !testform.Long() {
		url = allow(t, server) // the long form has TestConformanceApart for that
	}
	suite(t, brokertest.Config{Ping: ping(t, url)}, func(testing.TB) string { return url })
}

// recordGroups are the groups in which records are stored, moved, read or removed. The
// short form runs them once more with records kept apart.
var recordGroups = []string{
	"Enqueue", "Repeat", "Dequeue", "Delayed", "Delivery", "Settle", "Lease", "Cancel", "Retention", "Limits", "Malformed", "Inspector", "Requeue", "Park",
}

// The same with records kept apart, whatever their size, and as a user with the
// ACL of the documentation. The short form has the groups that are about records, and
// TestConformanceServer is that user.
func TestConformanceApart(t *testing.T) {
	t.Parallel()
	url := "redis://" + miniredis.RunT(t).Addr()
	if path := redistest.Path(t); path != "" {
		url = allow(t, redistest.Start(t, path))
	}
	// What is large and what races is on the server above in full.
	suite(t, brokertest.Config{Light: !testform.Long(), Groups: testform.Pick(recordGroups, nil), Ping: ping(t, url)}, func(testing.TB) string { return url }, redis.ApartFrom(0))
}
