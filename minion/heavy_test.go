package minion_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// usage adds up the slots of the handlers that run.
type usage struct{ now, most atomic.Int64 }

// enter notes that a handler with n slots runs, and returns the function that notes its end.
func (u *usage) enter(n int) (leave func()) {
	now := u.now.Add(int64(n))
	for m := u.most.Load(); now > m && !u.most.CompareAndSwap(m, now); m = u.most.Load() {
	}
	return func() { u.now.Add(int64(-n)) }
}

// Heavy tasks take their slots together, so the tasks that run never take more slots than
// there are. All tasks run once.
func TestSlotsOfTasks(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const slots, n = 10, 400
		var u usage
		var runs [n]atomic.Int32
		weight := func(i int) int { return []int{1, 1, 1, 2, 4, 7, 10, 25}[i%8] }
		r.crew(slots, func(_ context.Context, a args) (int, error) {
			defer u.enter(min(weight(a.N), slots))()
			runs[a.N].Add(1)
			time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
			return a.N, nil
		})
		futs := make([]*task.Future[int], n)
		for i := range futs {
			futs[i] = r.send(i, task.Slots(weight(i)))
		}
		for i, fut := range futs {
			if got, err := r.result(fut); got != i || err != nil {
				t.Errorf("result: %d, %v", got, err)
			}
			if got := runs[i].Load(); got != 1 {
				t.Errorf("task %d ran %d times", i, got)
			}
		}
		if most := u.most.Load(); most != slots {
			t.Errorf("up to %d slots were taken, want %d", most, slots)
		}
	})
}

// The broker is told how many slots are busy.
func TestLoadOfHeavyTask(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(10, hour(&running))
		r.send(0, task.Slots(4))
		r.send(1)
		time.Sleep(2 * time.Second)
		w, err := r.arb.Workers(t.Context())
		if err != nil || w["default"].Total != 10 || w["default"].Active != 5 {
			t.Errorf("workers: %+v, %v; want 5 of 10 slots busy", w, err)
		}
	})
}

// The number of slots is that of the call, else that of the registered handler, else one.
func TestSlotsOfCallAndHandler(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
		var running atomic.Int32
		if err := task.Handle(m, work, hour(&running)); err != nil {
			t.Fatal(err)
		}
		err := task.HandleFunc(m, "heavy", func(ctx context.Context, _ codec.Arguments) (any, error) {
			return hour(&running)(ctx, args{})
		}, task.Slots(3))
		if err != nil {
			t.Fatal(err)
		}
		r.start(m, 10)
		for _, tt := range []struct {
			name string
			opts []task.Option
			want int
		}{
			{"work", nil, 1},
			{"heavy", nil, 3},
			{"heavy", []task.Option{task.Slots(1)}, 1},
			{"work", []task.Option{task.Slots(2)}, 2},
			{"work", []task.Option{task.Slots(9), task.Slots(2)}, 2},
		} {
			ids, err := r.arb.Apply(t.Context(), tt.name, arbiter.Args(1), arbiter.Options(tt.opts...))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			if w, err := r.arb.Workers(t.Context()); err != nil || w["default"].Active != tt.want {
				t.Errorf("%s: workers %+v, %v; want %d slots busy", tt.name, w, err, tt.want)
			}
			if _, err := r.arb.Kill(t.Context(), ids[0], arbiter.Wait()); err != nil {
				t.Fatal(err)
			}
			settled()
		}
	})
}

// A heavy task starts although there always are enough smaller tasks for all slots: at the
// latest when those that run have ended.
func TestHeavyIsNotStarved(t *testing.T) {
	for _, long := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 10 * time.Second} {
		t.Run(long.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				const slots, n = 4, 400
				var u usage
				var began atomic.Int64
				heavy := make(chan time.Time, 1)
				futs := r.sendAll(n / 2)
				r.crew(slots, func(_ context.Context, a args) (int, error) {
					if a.N < 0 {
						defer u.enter(slots)()
						heavy <- time.Now()
						return 0, nil
					}
					defer u.enter(1)()
					began.Add(1)
					time.Sleep(long/2 + rand.N(long))
					return a.N, nil
				})
				fut := r.send(-1, task.Slots(slots))
				futs = append(futs, r.sendAll(n/2)...)
				for began.Load() < n/2 { // it is the next task
					time.Sleep(long / 10)
				}
				at := time.Now()
				if d := (<-heavy).Sub(at); d > 3*long/2+time.Second {
					t.Errorf("the heavy task started after %v, later than the tasks before it took", d)
				}
				for _, fut := range append(futs, fut) {
					if _, err := r.result(fut); err != nil {
						t.Fatal(err)
					}
				}
				if u.most.Load() != slots {
					t.Errorf("%d slots were taken", u.most.Load())
				}
				r.want(fut, broker.StateSucceeded, 1, 0)
			})
		})
	}
}

// A heavy task that has to wait for its slots goes to another minion as soon as that has
// enough of them, and not before. Tasks behind it go there at once.
func TestHeavyGoesWhereThereIsRoom(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(4, hour(&running))
		for i := range 3 {
			r.send(i)
		}
		settled()
		heavy := r.send(3, task.Slots(3))
		settled()
		behind := r.send(4)
		r.send(5)
		time.Sleep(time.Minute)
		if st := r.status(behind.ID()).State; st != broker.StatePending || running.Load() != 3 {
			t.Errorf("while the heavy task gathers slots, the one behind it is %s, and %d run", st, running.Load())
		}
		if st := r.status(heavy.ID()); st.State != broker.StateRunning || st.Attempts > 1 {
			t.Errorf("the heavy task is %s at attempt %d", st.State, st.Attempts)
		}
		before := r.b.Calls(faulty.Dequeue) + r.b.Calls(faulty.Settle)
		time.Sleep(10 * time.Minute)
		if calls := r.b.Calls(faulty.Dequeue) + r.b.Calls(faulty.Settle) - before; calls != 0 {
			t.Errorf("%d requests while it gathers slots and no other minion is there", calls)
		}

		r.crew(2, hour(&running)) // two slots are too few for the heavy task
		time.Sleep(10 * time.Second)
		if st := r.status(behind.ID()).State; st != broker.StateRunning || running.Load() != 5 {
			t.Errorf("with another minion, the task behind the heavy one is %s, and %d run", st, running.Load())
		}
		if st := r.status(heavy.ID()); st.Attempts > 1 {
			t.Errorf("the heavy task was moved to a minion that is too small: attempt %d", st.Attempts)
		}

		began := time.Now()
		r.crew(3, hour(&running))
		for running.Load() < 6 {
			time.Sleep(10 * time.Millisecond)
		}
		if d := time.Since(began); d > 4*time.Second {
			t.Errorf("the third minion started it after %v", d)
		}
		st := r.want(heavy, broker.StateSucceeded, 1, 0)
		if st.Minion == r.status(behind.ID()).Minion {
			t.Error("the wrong minion has run the heavy task")
		}
	})
}

// If the minion that seems to have room does not take the task, the first one gets it back,
// and nothing goes round in circles.
func TestHeavyIsOfferedInVain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(4, hour(&running))
		for i := range 3 {
			r.send(i)
		}
		settled()
		dead := faulty.New(r.b.Broker) // a minion that does not dequeue any more, and still has its lease
		dead.Set(faulty.Hooks{Before: func(ctx context.Context, op faulty.Op, _ int) error {
			if op == faulty.Dequeue {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}})
		m := must(minion.New(dead, minion.Logger(r.logs.logger())))
		if err := task.Handle(m, work, nothing); err != nil {
			t.Fatal(err)
		}
		r.start(m, 10)
		settled()
		before := r.b.Calls(faulty.Dequeue)
		heavy := r.send(3, task.Slots(3))
		time.Sleep(time.Minute)
		if calls := r.b.Calls(faulty.Dequeue) - before; calls < 10 || calls > 40 {
			t.Errorf("%d dequeues in a minute, want about one every two seconds", calls)
		}
		st := r.want(heavy, broker.StateSucceeded, 1, 0)
		if d := st.Started.Sub(st.Enqueued); d > time.Hour+time.Second {
			t.Errorf("it started after %v", d)
		}
	})
}

// A task that takes more slots than the minion has runs alone, and the log says so, once.
func TestHeavyRunsAlone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var u usage
		r.crew(4, func(_ context.Context, a args) (int, error) {
			defer u.enter(map[bool]int{true: 4, false: 1}[a.N >= 100])()
			time.Sleep(10 * time.Millisecond)
			return a.N, nil
		})
		var futs []*task.Future[int]
		for i := range 20 {
			futs = append(futs, r.send(i), r.send(100+i, task.Slots(minion.MaxSlots)))
		}
		for _, fut := range futs {
			if _, err := r.result(fut); err != nil {
				t.Fatal(err)
			}
		}
		if u.most.Load() != 4 {
			t.Errorf("up to %d slots were taken, want 4", u.most.Load())
		}
		if n := r.logs.count("runs here alone"); n != 1 {
			t.Errorf("%d log lines say that it takes more slots than there are, want 1", n)
		}
	})
}

// A heavy task that waits for its slots in the minion ends like any task that waits: it is
// killed, expires, or goes to another minion.
func TestHeavyEndsWhileItGathers(t *testing.T) {
	crowd := func(r *rig, running *atomic.Int32) *crew {
		c := r.crew(4, hour(running), minion.DrainTimeout(0))
		for i := range 3 {
			r.send(i)
		}
		settled()
		return c
	}
	t.Run("kill", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var running atomic.Int32
			crowd(r, &running)
			fut := r.send(9, task.Slots(4))
			settled()
			began := time.Now()
			verdict, err := r.arb.Kill(t.Context(), fut.ID(), arbiter.Wait())
			if d := time.Since(began); err != nil || d > 200*time.Millisecond {
				t.Errorf("killed after %v: %v, %v", d, verdict, err)
			}
			r.want(fut, broker.StateCanceled, 0, 0)
			r.send(10)
			settled()
			if running.Load() != 4 {
				t.Errorf("%d handlers run, want 4", running.Load())
			}
		})
	})
	t.Run("deadline", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var running atomic.Int32
			crowd(r, &running)
			began := time.Now()
			fut := r.send(9, task.Slots(4), task.Within(1500*time.Millisecond))
			if _, err := r.result(fut); !errors.Is(err, task.ErrExpired) {
				t.Errorf("error %v, want ErrExpired", err)
			}
			if d := time.Since(began); d > 2600*time.Millisecond {
				t.Errorf("it expired after %v", d)
			}
		})
	})
	t.Run("stop", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var running atomic.Int32
			c := crowd(r, &running)
			fut := r.send(9, task.Slots(4))
			settled()
			if err := c.stop(); err != nil {
				t.Error(err)
			}
			if st := r.status(fut.ID()); st.State != broker.StatePending || st.Attempts != 0 {
				t.Errorf("after the stop it is %s after %d attempts", st.State, st.Attempts)
			}
			r.crew(4, nothing)
			r.want(fut, broker.StateSucceeded, 1, 0)
		})
	})
	t.Run("lease", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var running atomic.Int32
			var o out
			r.b.Set(o.hooks(all...))
			crowd(r, &running)
			fut := r.send(9, task.Slots(4))
			settled()
			o.down.Store(true)
			time.Sleep(time.Minute)
			if running.Load() != 0 {
				t.Errorf("%d handlers run without a lease", running.Load())
			}
			o.down.Store(false)
			st := r.want(fut, broker.StateSucceeded, 2, 0) // the end of a lease counts as a start
			if d := st.Finished.Sub(st.Started); d != time.Hour {
				t.Errorf("it ran for %v", d)
			}
		})
	})
	t.Run("death", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var running atomic.Int32
			p := r.host(4, func(p *host, ctx context.Context, a args) (int, error) {
				if p.died() > 0 {
					return 0, nil
				}
				return hour(&running)(ctx, a)
			})
			for i := range 3 {
				r.send(i, task.Slots(1))
			}
			settled()
			fut := r.send(9, task.Slots(4))
			settled()
			p.die()
			began := time.Now()
			if _, err := r.result(fut); err != nil || time.Since(began) > 20*time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	})
}

// Between its attempts a heavy task takes no slots.
func TestHeavyBetweenAttempts(t *testing.T) {
	for name, again := range map[string]error{
		"retry": task.RetryAfter(time.Minute, errBad), "snooze": task.Snooze(time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var running atomic.Int32
				attempts := 0
				r.crew(4, func(ctx context.Context, a args) (int, error) {
					if a.N < 4 {
						return hour(&running)(ctx, a)
					}
					if attempts++; attempts == 1 {
						time.Sleep(time.Second)
						return 0, again
					}
					return a.N, nil
				})
				heavy := r.send(9, task.Slots(4))
				for i := range 4 {
					r.send(i)
				}
				settled()
				if running.Load() != 0 {
					t.Errorf("%d tasks run beside the heavy one", running.Load())
				}
				time.Sleep(30 * time.Second)
				if running.Load() != 4 {
					t.Errorf("%d tasks run between the attempts of the heavy one, want 4", running.Load())
				}
				if n, err := r.result(heavy); n != 9 || err != nil || attempts != 2 {
					t.Errorf("%d, %v after %d attempts", n, err, attempts)
				}
			})
		})
	}
}

// A heavy task that waits for others lends all its slots, and takes all of them back.
func TestHeavyLendsItsSlots(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const slots = 4
		var u usage
		back := make(chan struct{})
		r.family(slots, func(context.Context, args) (int, error) {
			defer u.enter(1)()
			time.Sleep(10 * time.Millisecond)
			return 1, nil
		}, func(ctx context.Context, _ args) (int, error) {
			calls := make([]task.Call[int], 4*slots)
			for i := range calls {
				calls[i] = work.Bind(args{i})
			}
			s, _ := task.FromContext(ctx)
			futs, err := task.SendAll(ctx, s, calls...)
			if err != nil {
				return 0, err
			}
			sum := 0
			for _, fut := range futs {
				n, err := fut.Result(ctx)
				if err != nil {
					return 0, err
				}
				sum += n
			}
			defer u.enter(slots)()
			close(back)
			time.Sleep(time.Second)
			return sum, nil
		})
		fut, err := parent.With(task.Slots(slots)).Apply(t.Context(), r.arb, args{})
		if err != nil {
			t.Fatal(err)
		}
		<-back
		r.send(1)
		settled()
		if now := u.now.Load(); now != slots {
			t.Errorf("%d slots are taken, want those of the heavy task", now)
		}
		if n, err := r.result(fut); n != 4*slots || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		if u.most.Load() != slots {
			t.Errorf("up to %d slots were taken, want %d", u.most.Load(), slots)
		}
	})
}

// The members of a squad take as many slots as they say, and start together.
func TestHeavySquad(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var u usage
		var mu sync.Mutex
		starts := map[time.Time]int{}
		fn := func(_ context.Context, a args) (int, error) {
			defer u.enter(a.N)()
			mu.Lock()
			starts[time.Now()]++
			mu.Unlock()
			time.Sleep(time.Minute)
			return a.N, nil
		}
		r.crew(7, fn)
		r.crew(6, fn)
		r.crew(2, fn) // too small for a member that takes 3, which would run there alone
		settled()
		calls := func(n, slots int) []task.Call[int] {
			list := make([]task.Call[int], n)
			for i := range list {
				list[i] = work.With(task.Slots(slots)).Bind(args{min(slots, 3)})
			}
			return list
		}
		for _, n := range []int{5, 1} {
			g, err := arbiter.SquadOf(t.Context(), r.arb, calls(n, 3))
			if err != nil {
				t.Fatalf("a squad of %d: %v", n, err)
			}
			settled()
			if n == 5 {
				_, err := arbiter.SquadOf(t.Context(), r.arb, calls(1, 3))
				var short *arbiter.NotEnoughWorkersError
				if !errors.As(err, &short) || !strings.Contains(err.Error(), "3 wanted, 0 of 14 free") {
					t.Errorf("one more member: %v", err)
				}
			}
			if _, err := g.Results(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if len(starts) != 2 {
			t.Errorf("the members have started at %d times: %v", len(starts), starts)
		}
		if got := fmt.Sprint(u.most.Load()); got != "15" { // five members, one of which has only two slots
			t.Errorf("the members say that up to %s slots were taken", got)
		}
	})
}

// The slots that members leave over, because they take fewer than were reserved or do not
// come, are free.
func TestSlotsOfLightMembers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(10, hour(&running))
		settled()
		c := r.captain()
		each := squad.Message{Kind: squad.Reserve, Squad: c.squad, From: c.id, Round: 1, N: 3, Each: 3, For: 5 * time.Second}
		if err := c.b.Post(t.Context(), c.minion, each.Append(nil)); err != nil {
			t.Fatal(err)
		}
		c.numbers(c.hears(squad.Granted), 10, 1, 9)
		weights := []uint32{3, 1, 8} // the last one gets the three that are reserved for it
		i := 0
		c.store(3, func(t *broker.Task) { t.Slots = weights[i]; i++ })
		c.hears(squad.Ready)
		if _, err := r.b.Decide(t.Context(), c.squad, true); err != nil {
			t.Fatal(err)
		}
		c.say(squad.Go, 0, 0)
		c.running(&running, 3)
		c.say(squad.Ask, 0, 0)
		c.numbers(c.hears(squad.Numbers), 10, 3, 0)
		for range 5 {
			r.send(1)
		}
		c.running(&running, 6)

		huge := squad.Message{Kind: squad.Reserve, Squad: broker.NewID(broker.KindGroup, "", 0), From: c.id, Round: 1, N: math.MaxInt32, Each: math.MaxInt32, For: time.Second}
		c.squad = huge.Squad
		if err := c.b.Post(t.Context(), c.minion, huge.Append(nil)); err != nil {
			t.Fatal(err)
		}
		c.numbers(c.hears(squad.Refused), 10, 0, 0)
	}, memory.Lease(time.Minute))
}
