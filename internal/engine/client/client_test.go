package client_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
	"github.com/go-arbiter/arbiter/task/request"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// consume settles tasks until the test ends, with the payload of each as its result.
func consume(t *testing.T, b broker.Broker) {
	c, err := b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"default"}, Slots: 1000})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			got, _ := c.Dequeue(ctx, []string{"default"}, 1000, time.Second)
			batch := make([]broker.Settlement, len(got))
			for i, d := range got {
				batch[i] = broker.Settlement{Delivery: d, Outcome: broker.Outcome{
					State: broker.StateSucceeded, Codec: d.Codec, Result: d.Payload, Name: d.Name,
				}}
			}
			if _, err := c.Settle(context.Background(), batch); err != nil && !errors.Is(err, broker.ErrClosed) {
				t.Errorf("settle: %v", err)
			}
			_ = c.Heartbeat(context.Background(), broker.Load{})
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = c.Close(context.Background())
	})
}

// bubble runs f in a synctest bubble, with a client on a broker in memory that can fail.
func bubble(t *testing.T, f func(t *testing.T, b *faulty.Broker, c *client.Client)) {
	synctest.Test(t, func(t *testing.T) {
		b := faulty.New(memory.New())
		defer func() { _ = b.Close() }()
		c := client.New(client.Config{Broker: b, Logger: slog.New(slog.DiscardHandler)})
		defer func() { _ = c.Close() }()
		f(t, b, c)
	})
}

func requests(n int) (calls []task.Bound) {
	for i := range n {
		calls = append(calls, request.New("t", codec.Arguments{Positional: []any{i}}, nil))
	}
	return calls
}

// Outcomes that nobody asks for are kept up to a limit. An outcome that was dropped is looked
// up.
func TestForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, b *faulty.Broker, c *client.Client) {
		consume(t, b)
		c.SetMaxIdle(100)
		calls := requests(2500)
		if err := c.Submit(t.Context(), calls...); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := c.Entries(); n != 100 {
			t.Errorf("%d tasks are kept, want 100", n)
		}
		ids := make([]broker.ID, len(calls))
		for i := range calls {
			ids[i] = calls[i].Request().ID()
		}
		w := c.Watch(slices.Concat(ids, ids)...)
		for left := w.Len(); left > 0; {
			completions, err := w.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range completions {
				if a.Err() != nil || a.Outcome.State != broker.StateSucceeded {
					t.Fatalf("task %s: %+v", a.ID, a)
				}
			}
			left -= len(completions)
		}
		w.Close()
		if n := b.Calls(faulty.Lookup); n != 3 {
			t.Errorf("%d look-ups for 2400 tasks, want 3", n)
		}
		if n := c.Entries(); n != 0 {
			t.Errorf("%d tasks are left", n)
		}
	})
}

// Waits that begin at the same time share look-ups.
func TestLookupsAreShared(t *testing.T) {
	bubble(t, func(t *testing.T, b *faulty.Broker, c *client.Client) {
		consume(t, b)
		calls := requests(1000)
		other := client.New(client.Config{Broker: b})
		if err := other.Submit(t.Context(), calls...); err != nil {
			t.Fatal(err)
		}
		_ = other.Close()
		synctest.Wait()
		b.Set(faulty.Hooks{Before: func(context.Context, faulty.Op, int) error {
			time.Sleep(time.Millisecond)
			return nil
		}})
		var wg sync.WaitGroup
		for _, call := range calls {
			wg.Go(func() {
				if err := c.Await(t.Context(), call.Request().ID(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := b.Calls(faulty.Lookup); n > 3 {
			t.Errorf("%d look-ups for 1000 waits at once", n)
		}
	})
}

// A look-up whose reply never comes, because it is too large, is repeated in smaller parts.
func TestLookupsShrink(t *testing.T) {
	bubble(t, func(t *testing.T, b *faulty.Broker, c *client.Client) {
		consume(t, b)
		calls := requests(1000)
		other := client.New(client.Config{Broker: b})
		if err := other.Submit(t.Context(), calls...); err != nil {
			t.Fatal(err)
		}
		_ = other.Close()
		synctest.Wait()
		b.Set(faulty.Hooks{After: func(op faulty.Op, n int) error {
			if op == faulty.Lookup && n > 40 {
				return faulty.ErrLostReply
			}
			return nil
		}})
		var ids []broker.ID
		for _, call := range calls {
			ids = append(ids, call.Request().ID())
		}
		w := c.Watch(ids...)
		defer w.Close()
		for left := w.Len(); left > 0; {
			completions, err := w.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			left -= len(completions)
		}
		if n := b.Calls(faulty.Lookup); n > 100 {
			t.Errorf("%d look-ups", n)
		}
	})
}

// Waits that end, with and without a result, leave no entries behind.
func TestWaitsComeAndGo(t *testing.T) {
	bubble(t, func(t *testing.T, b *faulty.Broker, c *client.Client) {
		calls := requests(500)
		if err := c.Submit(t.Context(), calls...); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i, call := range calls {
			for k := range 4 {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+k)*time.Second)
					defer cancel()
					var got []any
					err := c.Await(ctx, call.Request().ID(), &got)
					if early := k < 2; early != errors.Is(err, context.DeadlineExceeded) || !early && (len(got) != 1 || got[0] != int64(i)) {
						t.Errorf("wait %d of call %d: %v, %v", k, i, got, err)
					}
				})
			}
		}
		time.Sleep(2500 * time.Millisecond)
		consume(t, b)
		wg.Wait()
		if n := c.Entries(); n != 0 {
			t.Errorf("%d tasks are left", n)
		}
	})
}

// A submission that is refused leaves no entries behind. A submission that may have been stored
// can still be awaited.
func TestRefusedIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, b *faulty.Broker, c *client.Client) {
		b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Enqueue {
				return broker.ErrInvalid
			}
			return nil
		}})
		calls := requests(10)
		if err := c.Submit(t.Context(), calls...); !errors.Is(err, broker.ErrInvalid) {
			t.Fatalf("submit: %v", err)
		}
		if n := c.Entries(); n != 0 {
			t.Errorf("%d tasks are left", n)
		}
		b.Set(faulty.Hooks{After: func(op faulty.Op, _ int) error {
			if op == faulty.Enqueue {
				return faulty.ErrLostReply
			}
			return nil
		}})
		calls = requests(1)
		if err := c.Submit(t.Context(), calls...); !errors.Is(err, broker.ErrIndeterminate) {
			t.Fatalf("submit: %v", err)
		}
		consume(t, b)
		began := time.Now()
		if err := c.Await(t.Context(), calls[0].Request().ID(), nil); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("it came after %v", d)
		}
	})
}

// A task that is sent with a group is repeated for its full patience, however long the group
// took.
func TestTaskBesideSlowGroup(t *testing.T) {
	bubble(t, func(t *testing.T, b *faulty.Broker, c *client.Client) {
		echo := task.Define[struct{ N int }, int]("echo")
		n := 0
		b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op != faulty.Enqueue {
				return nil
			}
			switch n++; n {
			case 1:
				time.Sleep(5100 * time.Millisecond)
			case 2:
				return faulty.ErrUnavailable
			}
			return nil
		}})
		call := func(i int) task.Call[int] { return echo.Bind(struct{ N int }{i}) }
		if err := c.Submit(t.Context(), task.All(call(1), call(2)), call(3)); err != nil || n != 3 {
			t.Errorf("%d requests: %v", n, err)
		}
	})
}
