package minion_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

// workers checks the numbers that the arbiter reports for the default queue.
func (r *rig) workers(when string, total, active int) {
	r.Helper()
	all, err := r.arb.Workers(context.Background())
	want := arbiter.Workers{Total: total, Active: active, Available: total - active}
	if err != nil || all["default"] != want {
		r.Errorf("%s: %+v, %v, want %+v", when, all["default"], err, want)
	}
}

// The numbers of Workers are at most a second old, even if heartbeats are seldom.
func TestLoadIsToldSoon(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		end := make(chan struct{})
		c := r.crew(3, func(context.Context, args) (int, error) { <-end; return 0, nil })
		synctest.Wait()
		r.workers("as soon as it runs", 3, 0)
		for busy := range 3 {
			r.send(1)
			time.Sleep(time.Second)
			r.workers("a second after a task has come", 3, busy+1)
		}
		for busy := range 3 {
			end <- struct{}{}
			time.Sleep(time.Second)
			r.workers("a second after a task has ended", 3, 2-busy)
		}
		if err := c.stop(); err != nil {
			t.Fatal(err)
		}
		r.workers("when it has stopped", 0, 0)
	})
}

// A change that follows another one is reported in time. A change that is over at once is
// not reported.
func TestLoadCostsFewHeartbeats(t *testing.T) {
	const window = time.Minute
	for name, c := range map[string]struct {
		work, pause time.Duration
		least, most int
	}{
		"idle":        {0, window, 0, 15},
		"brief tasks": {10 * time.Millisecond, time.Second, 0, 15},
		"long tasks":  {700 * time.Millisecond, 700 * time.Millisecond, 60, 90},
		"busy":        {60 * time.Millisecond, 60 * time.Millisecond, 40, 90},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.crew(2, func(context.Context, args) (int, error) { time.Sleep(c.work); return 0, nil })
				synctest.Wait()
				before := r.b.Calls(faulty.Heartbeat)
				for end := time.Now().Add(window); time.Now().Before(end); time.Sleep(c.pause) {
					if c.work > 0 {
						_, _ = r.result(r.send(1))
					}
				}
				if n := r.b.Calls(faulty.Heartbeat) - before; n < c.least || n > c.most {
					t.Errorf("%d heartbeats in %v, want %d to %d", n, window, c.least, c.most)
				}
			})
		})
	}
}

// A load that could not be reported is reported with the next heartbeat that succeeds.
func TestLoadIsToldAfterAnOutage(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		end := make(chan struct{})
		r.crew(3, func(context.Context, args) (int, error) { <-end; return 0, nil })
		defer close(end)
		synctest.Wait()
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Heartbeat {
				return faulty.ErrUnavailable
			}
			return nil
		}})
		r.send(1)
		time.Sleep(time.Second)
		r.send(1)
		time.Sleep(time.Second)
		r.workers("while heartbeats fail", 3, 0)
		r.b.Set(faulty.Hooks{})
		time.Sleep(2 * time.Second) // by now heartbeats are tried every second
		r.workers("after that", 3, 2)
	})
}

// A lent slot is not busy.
func TestLoadOfLentSlots(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(2, func(ctx context.Context, a args) (int, error) {
			info, _ := task.FromContext(ctx)
			if a.N > 0 { // waits for a task that is due later
				if _, err := work.With(task.Delay(10*time.Second)).Call(ctx, info.Submitter, args{0}); err != nil {
					return 0, err
				}
			}
			time.Sleep(10 * time.Second)
			return 0, nil
		})
		synctest.Wait()
		fut := r.send(1)
		time.Sleep(time.Second)
		r.workers("while it waits", 2, 0)
		time.Sleep(10 * time.Second)
		r.workers("while it waits for one that runs", 2, 1)
		time.Sleep(10 * time.Second)
		r.workers("when it goes on", 2, 1)
		if _, err := r.result(fut); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.workers("at the end", 2, 0)
	})
}

// A slot that is reserved for a squad is not available.
func TestLoadOfReservedSlots(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		r.crew(3, nothing)
		synctest.Wait()
		c := r.captain()
		c.say(squad.Reserve, 2, 10*time.Second)
		c.hears(squad.Granted)
		time.Sleep(time.Second)
		r.workers("while they are reserved", 3, 2)
		time.Sleep(10 * time.Second)
		r.workers("after that", 3, 0)
	})
}
