package minion_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A minion whose broker was closed ends its handlers, and Run says why, however the minion
// is stopped and whatever its handlers do meanwhile.
func TestStopAfterBroker(t *testing.T) {
	handlers := map[string]func(context.Context, args) (int, error){
		"obeys": func(ctx context.Context, _ args) (int, error) { return 0, obey(ctx) },
		"tidies up": func(ctx context.Context, _ args) (int, error) {
			err := obey(ctx)
			time.Sleep(time.Second)
			return 0, err
		},
		"succeeds": func(ctx context.Context, _ args) (int, error) {
			_ = obey(ctx)
			return 1, nil
		},
		"waits": func(ctx context.Context, a args) (int, error) {
			return work.With(task.Queue("nobody")).Call(context.WithoutCancel(ctx), submitter(ctx), a)
		},
	}
	stops := map[string]func(c *crew){
		"close":   func(c *crew) { _ = c.Close() },
		"stop":    func(c *crew) { _ = c.Stop(context.Background()) },
		"context": func(c *crew) { c.halt() },
		"nothing": func(*crew) {},
	}
	for does, handler := range handlers {
		for how, stop := range stops {
			for slots := range 3 { // 0 tasks: the minion is idle
				t.Run(fmt.Sprintf("%s, %s, %d slots", does, how, slots), func(t *testing.T) {
					bubble(t, func(t *testing.T, r *rig) {
						c := r.crew(max(slots, 1), handler, minion.DrainTimeout(2*time.Second))
						if slots > 0 {
							r.send(1)
						}
						settled()
						_ = r.b.Close()
						if slots == 0 {
							settled() // the minion notices by itself
						}
						began := time.Now()
						stop(c)
						<-c.done
						if !errors.Is(c.err, task.ErrClosed) || errors.Is(c.err, minion.ErrAbandoned) {
							t.Error(c.err)
						}
						if d := time.Since(began); d > 10*time.Second {
							t.Errorf("after %v", d)
						}
					})
				})
			}
		}
	}
}

// When the broker is closed there is nothing to drain for: Run waits for a handler that
// ignores the end of its context no longer than grace.
func TestNoDrainAfterBroker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		free := make(chan struct{})
		defer func() {
			close(free)
			settled()
		}()
		c := r.crew(1, func(context.Context, args) (int, error) {
			<-free
			return 0, nil
		}, minion.DrainTimeout(time.Hour))
		r.send(1)
		settled()
		c.halt()
		settled()
		_ = r.b.Close()
		began := time.Now()
		<-c.done
		if !errors.Is(c.err, task.ErrClosed) || !errors.Is(c.err, minion.ErrAbandoned) {
			t.Error(c.err)
		}
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// A minion whose consumer closes slowly, as with a thousand queues, sends a heartbeat
// meanwhile. Its answer, that the consumer is closed, does not mean that the broker is.
func TestSlowClose(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.crew(1, func(context.Context, args) (int, error) { return 0, nil })
		settled()
		r.b.Set(faulty.Hooks{After: func(op faulty.Op, _ int) error {
			if op == faulty.Leave {
				time.Sleep(10 * time.Second)
			}
			return nil
		}})
		before := r.b.Calls(faulty.Heartbeat)
		if err := c.stop(); err != nil {
			t.Error(err)
		}
		if r.b.Calls(faulty.Heartbeat) == before {
			t.Error("no heartbeat was sent meanwhile")
		}
		if n := r.logs.count("lease lost"); n > 0 {
			t.Error("the log says that the lease was lost")
		}
	})
}
