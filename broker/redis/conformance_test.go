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
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
)

var namespaces atomic.Int64

// Some tests wait until a lease ends, so they have a short one. On a machine that is too busy to
// keep it, the suite repeats the test with a longer one.
const (
	shortLease = 2 * time.Second
	longLease  = time.Minute
)

// prompt is how late a push may be. Without a push the broker looks after a second at the earliest,
// so a push that is missing is noticed.
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

// suite runs the whole suite on the server that url returns.
func suite(t *testing.T, cfg brokertest.Config, url func(t testing.TB) string, opts ...redis.Option) {
	t.Helper()
	cfg.Parallel = true
	cfg.ModelTime = testform.Pick(time.Second, 5*time.Second)
	cfg.Open = func(t testing.TB) brokertest.Harness { return harness(t, url(t), shortLease, opts...) }
	cfg.Longer = func(t testing.TB, lease time.Duration) brokertest.Harness { return harness(t, url(t), lease, opts...) }
	cfg.Patient = func(t testing.TB) brokertest.Harness { return harness(t, url(t), longLease, opts...) }
	brokertest.Run(t, cfg)
}

// ping returns a function that pings the server.
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

// The long form runs the whole suite on miniredis and on a real server. The short form runs it on
// the server if there is one, and else on miniredis.
func TestConformanceMiniredis(t *testing.T) {
	t.Parallel()
	if !testform.Long() && redistest.Path(t) != "" {
		t.Log("left to TestConformanceServer; the long form runs both")
		return
	}
	suite(t, brokertest.Config{Light: true}, func(t testing.TB) string { return "redis://" + miniredis.RunT(t).Addr() })
}

// TestConformanceServer runs the suite on a real server. See TestConformanceMiniredis.
func TestConformanceServer(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return // Path has said why
	}
	server := redistest.Start(t, path)
	url := server.URL()
	if !testform.Long() {
		url = allow(t, server) // the long form has TestConformanceLargeRecords for that
	}
	suite(t, brokertest.Config{Light: !testform.Long(), Ping: ping(t, url)}, func(testing.TB) string { return url })
}

// recordGroups are the groups of tests in which most records are stored, moved, read or removed. The
// short form runs them once more with large records.
var recordGroups = []string{
	"Enqueue", "Repeat", "Delivery", "Settle", "Cancel", "Limits", "Malformed", "Inspector", "Requeue", "Park",
}

// The same suite with every record stored like a large one, as a user with the documented ACL. The
// short form runs only recordGroups; TestConformanceServer has that user then.
func TestConformanceLargeRecords(t *testing.T) {
	t.Parallel()
	url := "redis://" + miniredis.RunT(t).Addr()
	if path := redistest.Path(t); path != "" {
		url = allow(t, redistest.Start(t, path))
	}
	// The tests with much data or with races run in full in TestConformanceServer.
	suite(t, brokertest.Config{Light: !testform.Long(), Groups: testform.Pick(recordGroups, nil), Ping: ping(t, url)}, func(testing.TB) string { return url }, redis.LargeRecordFrom(0))
}
