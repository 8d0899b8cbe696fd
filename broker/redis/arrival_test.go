package redis_test

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redisproxy"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// readBytes is a connection that counts the bytes that are read from it.
type readBytes struct {
	net.Conn
	n *atomic.Int64
}

func (r readBytes) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.n.Add(int64(n))
	return n, err
}

// However many arrivals there are, and however large their outcomes, one call of Arrivals reads
// about as many bytes as a batch may have.
func TestLargeArrivals(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" { // miniredis has no cursors and returns a hash in one page
		return
	}
	const (
		n    = 50
		size = 1 << 20
	)
	opts, err := goredis.ParseURL(redistest.Start(t, path).URL())
	if err != nil {
		t.Fatal(err)
	}
	var moved atomic.Int64
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return readBytes{conn, &moved}, err
	}
	client := goredis.NewClient(opts)
	defer func() { _ = client.Close() }()
	b, err := redis.New(client, unhurried)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	c := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
	flow := broker.NewID(broker.KindGroup, "q", 0)
	result := string(bytes.Repeat([]byte("x"), size))
	for i := range n {
		enqueue(t, b, newTask("q", func(x *broker.Task) { x.Flow.ID, x.Flow.Step = flow, uint32(i) }))
		if errs := settle(t, c, succeed(dequeue(t, c, 1, time.Second, "q")[0], result)); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	seen := make(map[broker.ID]bool)
	for len(seen) < n {
		before := moved.Load()
		found, err := b.Arrivals(t.Context(), "q", broker.MaxBatch)
		if err != nil || len(found) == 0 {
			t.Fatalf("%d arrivals after %d, %v", len(found), len(seen), err)
		}
		// The page with which the limit is exceeded has several arrivals.
		if d := moved.Load() - before; d > broker.MaxBatchBytes+10*size {
			t.Errorf("%d arrivals moved %d MiB", len(found), d>>20)
		}
		for _, a := range found {
			seen[a.Task] = true
		}
		if err := b.Confirm(t.Context(), found); err != nil {
			t.Fatal(err)
		}
	}
}

// If the reply to a cancel is lost, the process looks for arrivals of that cancel. A repetition of
// the cancel would not report them.
func TestCancelReplyIsLost(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	line := redisproxy.Start(t, server.Addr())
	b := open(t, line.URL())
	flow := broker.NewID(broker.KindGroup, "q", 0)
	task := newTask("q", func(x *broker.Task) { x.Flow.ID = flow })
	enqueue(t, b, task)
	// After this cancel the server knows the script.
	if _, err := b.Cancel(t.Context(), []broker.ID{broker.NewID(broker.KindTask, "q", 0)}); err != nil {
		t.Fatal(err)
	}
	line.Inject(redisproxy.Fault{Match: redisproxy.Script("cancel"), Do: redisproxy.CutAfter})
	if _, err := b.Cancel(t.Context(), []broker.ID{task.ID}); err == nil {
		t.Fatal("a cancel whose reply was lost returned no error")
	}
	if _, err := b.Cancel(t.Context(), []broker.ID{task.ID}); err != nil {
		t.Fatal(err)
	}
	found, err := b.Arrivals(t.Context(), "", 10)
	if err != nil || len(found) != 1 || found[0].Task != task.ID {
		t.Errorf("arrivals %+v, %v", found, err)
	}
}

// A task that is cancelled while it runs, comes back from its dead minion and is cancelled again,
// leaves no id in the set stop.
func TestStopIsForgotten(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		const lease = time.Second // of the minion that dies
		b := open(t, url)
		raw := rawClient(t, url)
		task := newTask("q")
		enqueue(t, b, task)
		dead := consume(t, open(t, url, redis.Lease(lease)), broker.ConsumerConfig{Queues: []string{"q"}})
		dequeue(t, dead, 1, time.Second, "q")
		cancel := func() {
			t.Helper()
			if _, err := b.Cancel(t.Context(), []broker.ID{task.ID}); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		time.Sleep(lease + lease/4) // until the lease has ended
		alive := consume(t, b, broker.ConsumerConfig{Queues: []string{"q"}})
		if err := alive.Heartbeat(t.Context(), broker.Load{}); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got, err := alive.Dequeue(t.Context(), []string{"q"}, 1, 100*time.Millisecond); err != nil || len(got) > 0 {
			t.Fatalf("the cancelled task was handed out: %v, %v", got, err)
		}
		if n, err := raw.SCard(t.Context(), "{"+redis.DefaultNamespace+":q}:stop").Result(); err != nil || n != 0 {
			t.Errorf("%d ids are left in stop, %v", n, err)
		}
	})
}
