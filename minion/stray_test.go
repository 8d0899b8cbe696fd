package minion_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
)

// left returns a handler that reports its deadline, and a function that waits for the
// report. The deadline is given as the time since left was called; 0 means no report.
func left() (handler func(context.Context, args) (int, error), ends func() time.Duration) {
	began := time.Now()
	told := make(chan time.Duration, 1)
	return func(ctx context.Context, _ args) (int, error) {
			end, _ := ctx.Deadline()
			told <- end.Sub(began)
			return 0, nil
		}, func() time.Duration {
			select {
			case d := <-told:
				return d
			case <-time.After(time.Hour):
				return 0
			}
		}
}

func minute(t *broker.Task) { t.Deadline = time.Minute }

// The deadline of a member without a reservation does not move while the minion asks
// whether it may start.
func TestDeadlineOfStray(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		handler, ends := left()
		began := time.Now()
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Decide && time.Since(began) < 30*time.Second {
				return faulty.ErrUnavailable
			}
			return nil
		}})
		r.crew(1, handler)
		settled()
		c := r.captain()
		asked := time.Since(began)
		c.store(1, minute)
		if _, err := r.b.Broker.(broker.Squads).Decide(t.Context(), c.squad, true); err != nil {
			t.Fatal(err)
		}
		r.near("the deadline", ends()-asked, time.Minute)
	})
}

// The deadline of a member counts from when it was assigned, however long the minion's
// mailbox is busy.
func TestDeadlineOfMember(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		handler, ends := left()
		began := time.Now()
		var posts atomic.Int32
		r.crew(1, handler)
		settled()
		c := r.captain()
		c.say(squad.Reserve, 1, 5*time.Second)
		c.hears(squad.Granted)
		said := make(chan struct{}, 1)
		r.b.Set(faulty.Hooks{Before: func(ctx context.Context, op faulty.Op, _ int) error {
			if op == faulty.Post && posts.Add(1) == 2 { // the first post is the captain's, the second the minion's
				said <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}})
		c.say(squad.Ask, 0, 0)
		<-said
		asked := time.Since(began)
		c.store(1, minute)
		c.hears(squad.Ready)
		if _, err := r.b.Decide(t.Context(), c.squad, true); err != nil {
			t.Fatal(err)
		}
		c.say(squad.Go, 0, 0)
		r.near("the deadline", ends()-asked, time.Minute)
	})
}

// A request that hangs delays neither a stray nor a reservation for longer than a part of
// the lease.
func TestHungDecision(t *testing.T) {
	for _, op := range []faulty.Op{faulty.Decide, faulty.LookupFlow} {
		bubble(t, func(t *testing.T, r *rig) {
			var running, calls atomic.Int32
			r.b.Set(faulty.Hooks{Before: func(ctx context.Context, now faulty.Op, _ int) error {
				if now == op && calls.Add(1) == 1 {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}})
			r.crew(1, hour(&running))
			settled()
			c := r.captain()
			if op == faulty.LookupFlow {
				c.say(squad.Reserve, 1, 30*time.Second)
				c.hears(squad.Granted)
			}
			c.store(1)
			if _, err := r.b.Broker.(broker.Squads).Decide(t.Context(), c.squad, true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			c.running(&running, 1)
			if calls.Load() < 2 {
				t.Errorf("%s: %d requests", op, calls.Load())
			}
		})
	}
}
