package minion_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// If handlers take back their lent slots while tasks arrive for these slots, the tasks go
// to a minion with free slots.
func TestReclaimWhileTaken(t *testing.T) {
	for range 30 {
		if t.Failed() {
			return
		}
		bubble(t, func(t *testing.T, r *rig) {
			const slots = 8
			r.family(slots, nothing, func(ctx context.Context, a args) (int, error) {
				n, err := work.With(task.Queue("other")).Call(ctx, submitter(ctx), a)
				if err != nil {
					return 0, err
				}
				select {
				case <-time.After(time.Hour):
				case <-ctx.Done():
				}
				return n, nil
			})
			r.crew(slots, func(_ context.Context, a args) (int, error) {
				time.Sleep(time.Second)
				return a.N, nil
			}, minion.Queue("other"))
			settled()
			for i := range slots {
				if _, err := parent.Apply(t.Context(), r.arb, args{i}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			futs := r.sendAll(slots)
			settled()
			r.crew(slots, nothing)
			began := time.Now()
			for _, fut := range futs {
				if _, err := r.result(fut); err != nil {
					t.Error(err)
				}
			}
			if d := time.Since(began); d > time.Second {
				t.Errorf("the prefetched tasks stayed for %v", d)
			}
		})
	}
}

// A handler takes its lent slot back after squads were told that it is free. They are told
// again when it really is.
func TestVacantAfterReclaim(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.family(1, nothing, func(ctx context.Context, a args) (int, error) {
			_, err := work.With(task.Queue("other")).Call(ctx, submitter(ctx), a)
			time.Sleep(time.Second)
			return a.N, err
		})
		settled()
		c := r.captain()
		fut, err := parent.Apply(t.Context(), r.arb, args{1})
		if err != nil {
			t.Fatal(err)
		}
		settled()
		c.say(squad.Ask, 2, time.Hour)
		c.numbers(c.hears(squad.Numbers), 1, 1, 0)
		r.crew(1, nothing, minion.Queue("other"))
		settled()
		c.say(squad.Reserve, 1, time.Minute)
		c.numbers(c.hears(squad.Refused), 1, 0, 0)
		if n, err := r.result(fut); n != 1 || err != nil {
			t.Fatalf("result: %v, %v", n, err)
		}
		c.numbers(c.hears(squad.Vacant), 1, 1, 0)
	})
}

// If a squad asks for more slots than there are, its earlier reservation ends, and waiting
// tasks get the slots.
func TestSlotsOfRefusedReservation(t *testing.T) {
	for _, again := range []int{5, 1} {
		bubble(t, func(_ *testing.T, r *rig) {
			var running atomic.Int32
			r.crew(5, hour(&running))
			settled()
			c := r.captain()
			c.say(squad.Reserve, 4, time.Minute)
			c.hears(squad.Granted)
			for range 6 {
				r.send(1)
			}
			c.running(&running, 1)
			c.say(squad.Reserve, again, time.Minute)
			if again == 5 {
				c.hears(squad.Refused)
				c.running(&running, 5)
			} else {
				c.hears(squad.Granted)
				c.running(&running, 4)
			}
		})
	}
}
