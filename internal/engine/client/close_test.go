package client_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

// closeAt calls f, and calls Close when request number n reaches the broker. It reports whether
// there were that many requests.
func closeAt(t *testing.T, n int, b *faulty.Broker, c *client.Client, f func()) bool {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	count := 0
	b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if op == faulty.Receive {
			return nil
		}
		if count++; count == n {
			wg.Go(func() { _ = c.Close() })
			time.Sleep(time.Millisecond) // until Close waits for the submission
		}
		return nil
	}})
	began := time.Now()
	f()
	wg.Wait()
	if took := time.Since(began); took > time.Second {
		t.Errorf("closed at request %d it took %v", n, took)
	}
	b.Set(faulty.Hooks{})
	return count >= n
}

// stored returns the number of tasks in the broker.
func stored(t *testing.T, b *faulty.Broker) (n int) {
	t.Helper()
	queues, err := b.Broker.(broker.Inspector).Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		n += q.Pending
	}
	return n
}

// A submission during which Close is called is stored either as a whole or not at all, and its
// error says which.
func TestCloseCutsNothing(t *testing.T) {
	const members = 3000
	group := func(calls []task.Bound) *request.Request {
		reqs := make([]*request.Request, len(calls))
		for i := range calls {
			reqs[i] = calls[i].Request()
		}
		return request.Group(reqs, request.GroupSettings{Quorum: len(reqs)})
	}
	ways := map[string]func(ctx context.Context, c *client.Client, calls []task.Bound) error{
		"tasks": func(ctx context.Context, c *client.Client, calls []task.Bound) error { return c.Submit(ctx, calls...) },
		"group": func(ctx context.Context, c *client.Client, calls []task.Bound) error {
			return c.Submit(ctx, group(calls))
		},
		"watched group": func(ctx context.Context, c *client.Client, calls []task.Bound) error {
			return c.SubmitWatched(ctx, group(calls))
		},
		"group and task": func(ctx context.Context, c *client.Client, calls []task.Bound) error {
			return c.Submit(ctx, group(calls[:members-1]), calls[members-1])
		},
	}
	for name, send := range ways {
		t.Run(name, func(t *testing.T) {
			came := map[bool]int{}
			for n, more := 1, true; more; n++ {
				bubble(t, func(t *testing.T, b *faulty.Broker, c *client.Client) {
					calls := requests(members)
					var err error
					more = closeAt(t, n, b, c, func() { err = send(t.Context(), c, calls) })
					if err != nil && (!errors.Is(err, broker.ErrClosed) || errors.Is(err, broker.ErrIndeterminate)) {
						t.Errorf("closed at request %d: %v", n, err)
					}
					want := members
					if err != nil {
						want = 0
					}
					if got := stored(t, b); got != want {
						t.Errorf("closed at request %d %d tasks are stored, want %d: %v", n, got, want, err)
					}
					came[err == nil]++
				})
			}
			if came[true] == 0 || came[false] == 0 {
				t.Errorf("stored %d times, refused %d times", came[true], came[false])
			}
		})
	}
}

// Close does not wait for repetitions of requests that fail; it ends them.
func TestCloseWaitsForNoRepetition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, down := range []faulty.Op{faulty.Inbox, faulty.OpenFlow, faulty.Enqueue} {
			b := faulty.New(memory.New())
			c := client.New(client.Config{Broker: b, Logger: slog.New(slog.DiscardHandler)})
			b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
				if op == down {
					return faulty.ErrUnavailable
				}
				return nil
			}})
			var wg sync.WaitGroup
			wg.Go(func() {
				group := request.Group([]*request.Request{requests(1)[0].Request()}, request.GroupSettings{Quorum: 1})
				if err := c.Submit(context.Background(), group); err == nil {
					t.Errorf("sent, and there is no %s", down)
				}
			})
			time.Sleep(time.Second)
			began := time.Now()
			_ = c.Close()
			wg.Wait()
			if took := time.Since(began); took > 0 {
				t.Errorf("%s: Close took %v", down, took)
			}
			_ = b.Close()
		}
	})
}

// A goroutine that waits for another one's wait is told what was closed, like that other one.
func TestCloseEndsTurns(t *testing.T) {
	bubble(t, func(t *testing.T, _ *faulty.Broker, c *client.Client) {
		done := make(chan error, 1)
		go func() { done <- c.AwaitTurn(t.Context(), broker.NewID(broker.KindTask, "q", 0), make(chan struct{})) }()
		synctest.Wait()
		_ = c.Close()
		if err := <-done; !errors.Is(err, broker.ErrClosed) || !strings.Contains(err.Error(), "the client is closed") {
			t.Errorf("AwaitTurn of a closed client: %v, want an error that names the client", err)
		}
	})
}
