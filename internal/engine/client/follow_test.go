package client_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/engine/client"
	"github.com/go-arbiter/arbiter/task"
)

// watched records the ids that are followed.
type watched struct {
	*memory.Broker
	mu  sync.Mutex
	ids []broker.ID
}

func (w *watched) Follow(ctx context.Context, inbox broker.ID, ids []broker.ID) error {
	w.mu.Lock()
	w.ids = append(w.ids, ids...)
	w.mu.Unlock()
	return w.Broker.Follow(ctx, inbox, ids)
}

// A broker remembers an id that is followed until its task ends. So an id that nobody has sent,
// as in a request of a stranger, is not followed, and neither is a task that is done.
func TestFollowsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &watched{Broker: memory.New()}
		defer func() { _ = b.Close() }()
		open := func() *client.Client {
			c := client.New(client.Config{Broker: b, Logger: slog.New(slog.DiscardHandler)})
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		from, c := open(), open()
		calls := requests(2)
		if err := from.Submit(t.Context(), calls...); err != nil {
			t.Fatal(err)
		}
		over, waits := calls[0].Request().ID(), calls[1].Request().ID()
		if _, err := b.Cancel(t.Context(), []broker.ID{over}); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[broker.ID]error{
			over: task.ErrCanceled, broker.NewID(broker.KindTask, "default", 0): task.ErrNotFound,
		} {
			if err := c.Await(t.Context(), id, nil); !errors.Is(err, want) {
				t.Errorf("a wait ended with %v, want %v", err, want)
			}
		}
		end := make(chan error, 1)
		go func() { end <- c.Await(t.Context(), waits, nil) }()
		synctest.Wait()
		if _, err := b.Cancel(t.Context(), []broker.ID{waits}); err != nil {
			t.Fatal(err)
		}
		if err := <-end; !errors.Is(err, task.ErrCanceled) {
			t.Errorf("a wait ended with %v, want %v", err, task.ErrCanceled)
		}
		if want := []broker.ID{waits}; !slices.Equal(b.ids, want) {
			t.Errorf("followed are %v, want %v", b.ids, want)
		}
	})
}
