package redis_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// Requests run in line with each kind of server but a cluster, and end with their context while the
// server hangs. If this fails after an update of go-redis, the client no longer passes the deadline of
// a context to its connection as it is; see inline.go.
func TestInline(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	plain := redistest.Start(t, path)
	socket := t.TempDir() + "/s"
	local := redistest.Start(t, path, "--unixsocket", socket)
	secured, config := redistest.StartTLS(t, path)
	watched := redistest.StartSentinel(t, path, 1)
	cluster := redistest.StartCluster(t, path, 1)
	for _, x := range []struct {
		name, url string
		server    *redistest.Server
		opts      []redis.Option
		not       bool
	}{
		{"one server", "redis://" + plain.Addr + "/0", plain, nil, false},
		{"resp2", "redis://" + plain.Addr + "/0?protocol=2", plain, nil, false},
		{"socket", "unix://" + socket, local, nil, false},
		{"TLS", "rediss://" + secured.Addr + "/0", secured, []redis.Option{redis.TLS(config)}, false},
		{"Sentinel", watched.URL(), watched.Nodes[0], nil, false},
		{"cluster", cluster.URL(), cluster.Nodes[0], nil, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			sign := "?"
			if strings.Contains(x.url, "?") {
				sign = "&"
			}
			// Nothing but the end of a context ends a request in time.
			b := open(t, x.url+sign+"read_timeout=1h&write_timeout=1h", x.opts...)
			if b.Inline() == x.not {
				t.Errorf("whether requests run in line: %v", b.Inline())
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			if err := b.Enqueue(ctx, []*broker.Task{newTask("q")}); err != nil {
				t.Fatal(err)
			}
			x.server.Freeze(true)
			for _, want := range []error{context.Canceled, context.DeadlineExceeded} {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				if want == context.Canceled {
					ctx, cancel = context.WithCancel(t.Context())
					time.AfterFunc(50*time.Millisecond, cancel)
				}
				ended := make(chan error, 1)
				go func() { ended <- b.Enqueue(ctx, []*broker.Task{newTask("q")}) }()
				select {
				case err := <-ended:
					if !errors.Is(err, want) || !errors.Is(err, broker.ErrIndeterminate) {
						t.Errorf("Enqueue returned %v, want an error that wraps %v", err, want)
					}
				case <-time.After(2 * time.Minute):
					t.Error("Enqueue goes on after its context has ended")
				}
				cancel()
			}
			x.server.Freeze(false)
			for { // Sentinel may have made the replica the master
				err := b.Enqueue(ctx, []*broker.Task{newTask("q")})
				if err == nil {
					break
				}
				if ctx.Err() != nil {
					t.Fatalf("after the server has gone on: %v", err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}

// A request whose context ends at about the time of its reply never harms the next request on the
// same connection.
func TestInlineInTurn(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url+"/0?pool_size=1")
		if !b.Inline() {
			t.Fatal("requests do not run in line")
		}
		calm, cancel := context.WithCancel(t.Context())
		defer cancel()
		enqueueIn := func(ctx context.Context) error { return b.Enqueue(ctx, []*broker.Task{newTask("q")}) }
		var took time.Duration
		for range 2 { // the first one registers the queue
			began := time.Now()
			if err := enqueueIn(calm); err != nil {
				t.Fatal(err)
			}
			took = time.Since(began)
		}
		cut := 0
		for range 300 {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for began, wait := time.Now(), time.Duration(rand.Int64N(int64(2*took))); time.Since(began) < wait; {
					runtime.Gosched() // a sleep is too long
				}
				cancel()
			}()
			if err := enqueueIn(ctx); err != nil {
				if cut++; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
			if err := enqueueIn(calm); err != nil {
				t.Fatalf("the request after one that was cut: %v", err)
			}
		}
		t.Logf("%d of 300 were cut", cut)
	})
}
