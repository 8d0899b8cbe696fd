package redis_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/redis"
	"github.com/go-arbiter/arbiter/internal/testing/redistest"
)

// Requests on a link end with their context while the server hangs, whether they wait for the reply or
// still write, and the link is given up then. The next request has another link. Brokers on Sentinel
// and Cluster have no links, and their requests end, too.
func TestLinksEndWithTheContext(t *testing.T) {
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
	large := func(x *broker.Task) { x.Payload = bytes.Repeat([]byte{0xc0}, 1<<20) }
	for _, x := range []struct {
		name, url string
		server    *redistest.Server
		opts      []redis.Option
		links     int
	}{
		{"one server", "redis://" + plain.Addr + "/0", plain, nil, 1},
		{"resp2", "redis://" + plain.Addr + "/0?protocol=2", plain, nil, 1},
		{"socket", "unix://" + socket, local, nil, 1},
		{"TLS", "rediss://" + secured.Addr + "/0", secured, []redis.Option{redis.TLS(config)}, 1},
		{"Sentinel", watched.URL(), watched.Nodes[0], nil, 0},
		{"cluster", cluster.URL(), cluster.Nodes[0], nil, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			sign := "?"
			if strings.Contains(x.url, "?") {
				sign = "&"
			}
			// Nothing but the end of a context ends a request in time.
			b := open(t, x.url+sign+"read_timeout=1h&write_timeout=1h", x.opts...)
			calm, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			if err := b.Enqueue(calm, []*broker.Task{newTask("q"), newTask("q", large)}); err != nil {
				t.Fatal(err)
			}
			if all, free := b.Links(); all != x.links || free != x.links {
				t.Errorf("%d links, %d of them free, after the first request; want %d", all, free, x.links)
			}
			x.server.Freeze(true)
			for _, of := range []struct {
				what string
				want error
				size int
			}{{"cancelled", context.Canceled, 1}, {"timed out", context.DeadlineExceeded, 1}, {"cancelled while writing", context.Canceled, 20}} {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				if of.want == context.Canceled {
					ctx, cancel = context.WithCancel(t.Context())
					time.AfterFunc(50*time.Millisecond, cancel)
				}
				tasks := make([]*broker.Task, of.size)
				for i := range tasks {
					if tasks[i] = newTask("q"); of.size > 1 {
						large(tasks[i])
					}
				}
				over := make(chan error, 1)
				go func() { over <- b.Enqueue(ctx, tasks) }()
				select {
				case err := <-over:
					// Without ErrIndeterminate the context has ended before the request was sent.
					if !errors.Is(err, of.want) || !errors.Is(err, broker.ErrIndeterminate) && errors.Is(err, broker.ErrUnavailable) {
						t.Errorf("%s: Enqueue returned %v, want an error that wraps %v and ErrIndeterminate", of.what, err, of.want)
					}
				case <-time.After(2 * time.Minute):
					t.Errorf("%s: Enqueue goes on", of.what)
				}
				cancel()
				if all, _ := b.Links(); all != 0 {
					t.Errorf("%s: the broker keeps %d links", of.what, all)
				}
			}
			x.server.Freeze(false)
			for { // Sentinel may have made the replica the master
				err := b.Enqueue(calm, []*broker.Task{newTask("q")})
				if err == nil {
					break
				}
				if x.links > 0 || calm.Err() != nil {
					t.Fatalf("after the server has gone on: %v", err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if all, free := b.Links(); all != x.links || free != x.links {
				t.Errorf("%d links, %d of them free, at the end; want %d", all, free, x.links)
			}
		})
	}
}

// A request whose context ends at about the time of its reply never harms the requests after it, nor
// those beside it. What Enqueue has reported as stored is stored.
func TestLinksServeOneRequest(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, url string) {
		b := open(t, url)
		calm, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex
		var sent, stored []broker.ID
		send := func(ctx context.Context) error {
			task := newTask("q")
			err := b.Enqueue(ctx, []*broker.Task{task})
			mu.Lock()
			defer mu.Unlock()
			if sent = append(sent, task.ID); err == nil {
				stored = append(stored, task.ID)
			}
			return err
		}
		var took time.Duration
		for range 2 { // the first one registers the queue
			began := time.Now()
			if err := send(calm); err != nil {
				t.Fatal(err)
			}
			took = time.Since(began)
		}
		cut := 0
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 50 {
					ctx, cancel := context.WithCancel(t.Context())
					go func() {
						for began, wait := time.Now(), time.Duration(rand.Int64N(int64(2*took))); time.Since(began) < wait; {
							runtime.Gosched() // a sleep is too long
						}
						cancel()
					}()
					if err := send(ctx); err != nil {
						mu.Lock()
						cut++
						mu.Unlock()
						if !errors.Is(err, context.Canceled) {
							t.Errorf("a request that was cancelled: %v", err)
						}
					}
					if err := send(calm); err != nil {
						t.Errorf("a request beside and after requests that were cancelled: %v", err)
					}
				}
			})
		}
		all.Wait()
		t.Logf("%d of 200 were cut", cut)
		found, err := b.Lookup(t.Context(), stored)
		if err != nil {
			t.Fatal(err)
		}
		for i, st := range found {
			if st.State != broker.StatePending {
				t.Errorf("task %s is %v, but Enqueue has reported that it is stored", stored[i], st.State)
			}
		}
		if all, free := b.Links(); all != free || all > redis.MaxLinks {
			t.Errorf("%d links, %d of them free", all, free)
		}
	})
}

// A broker has a bounded number of links, however many callers it has, and none after Close, which ends
// requests that wait.
func TestLinksAreBounded(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	b := open(t, s.URL()+"?read_timeout=1h&write_timeout=1h")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := b.Enqueue(ctx, []*broker.Task{newTask("q")}); err != nil {
		t.Fatal(err)
	}
	s.Freeze(true)
	var callers sync.WaitGroup
	for range 3 * redis.MaxLinks {
		callers.Go(func() {
			if err := b.Enqueue(ctx, []*broker.Task{newTask("q")}); !errors.Is(err, broker.ErrClosed) {
				t.Errorf("a request during which the broker was closed: %v", err)
			}
		})
	}
	for end := time.Now().Add(2 * time.Minute); ; runtime.Gosched() {
		all, free := b.Links()
		if all > redis.MaxLinks {
			t.Fatalf("%d links, want at most %d", all, redis.MaxLinks)
		}
		if all == redis.MaxLinks && free == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d links, %d of them free, want %d in use", all, free, redis.MaxLinks)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	s.Freeze(false)
	callers.Wait()
	if all, free := b.Links(); all != 0 || free != 0 {
		t.Errorf("%d links, %d of them free, after Close", all, free)
	}
	if err := b.Enqueue(ctx, []*broker.Task{newTask("q")}); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("a request after Close: %v", err)
	}
}

// A link that could not connect is not used again: when the server is back, the next request succeeds.
func TestLinksConnectAgain(t *testing.T) {
	t.Parallel()
	path := redistest.Path(t)
	if path == "" {
		return
	}
	s := redistest.Start(t, path)
	b := open(t, s.URL())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := b.Enqueue(ctx, []*broker.Task{newTask("q")}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.Kill()
		for range 20 {
			if err := b.Enqueue(ctx, []*broker.Task{newTask("q")}); !errors.Is(err, broker.ErrUnavailable) {
				t.Errorf("while the server is down: %v", err)
			}
		}
		if all, _ := b.Links(); all != 0 {
			t.Errorf("the broker keeps %d links to a server that is down", all)
		}
		s.Restart()
		if err := b.Enqueue(ctx, []*broker.Task{newTask("q")}); err != nil {
			t.Errorf("after the server has come back: %v", err)
		}
	}
}
