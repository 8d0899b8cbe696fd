package minion_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/engine/squad"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

var (
	render = task.Define[args, int]("render")
	mail   = task.Define[args, int]("mail")
)

// studio starts a minion with the handlers render and mail.
func (r *rig) studio(slots int, render_, mail_ func(context.Context, args) (int, error), opts ...minion.Option) *crew {
	r.Helper()
	m := must(minion.New(r.b, append([]minion.Option{minion.Logger(r.logs.logger())}, opts...)...))
	if err := errors.Join(task.Handle(m, render, render_), task.Handle(m, mail, mail_)); err != nil {
		r.Fatal(err)
	}
	return r.start(m, slots)
}

// submit sends n calls of a task.
func (r *rig) submit(t task.Task[args, int], n int, opts ...task.Option) []*task.Future[int] {
	r.Helper()
	calls := make([]task.Call[int], n)
	for i := range calls {
		calls[i] = t.With(opts...).Bind(args{i})
	}
	futs, err := task.SendAll(context.Background(), r.arb, calls...)
	if err != nil {
		r.Fatal(err)
	}
	return futs
}

// results waits for tasks, which must succeed.
func (r *rig) results(futs []*task.Future[int]) {
	r.Helper()
	for _, fut := range futs {
		if _, err := r.result(fut); err != nil {
			r.Fatalf("task %s: %v", fut.ID(), err)
		}
	}
}

// takes returns a handler that takes some time, and counts in u.
func (u *usage) takes(d time.Duration) func(context.Context, args) (int, error) {
	return func(ctx context.Context, a args) (int, error) {
		defer u.enter(1)()
		return a.N, rest(ctx, d)
	}
}

// Tasks of a name with a ceiling never exceed its ceiling, and use it up. The other slots are free for
// others. The ceilings of a name and of a queue both hold.
func TestAtMost(t *testing.T) {
	for _, long := range []time.Duration{50 * time.Microsecond, 20 * time.Millisecond, 5 * time.Second} {
		t.Run(long.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				const n = 100
				var renders, mails, slow, all usage
				both := func(one *usage) func(context.Context, args) (int, error) {
					return func(ctx context.Context, a args) (int, error) {
						defer all.enter(1)()
						defer one.enter(1)()
						if info, _ := task.FromContext(ctx); info.Queue == "slow" {
							defer slow.enter(1)()
						}
						time.Sleep(long/2 + rand.N(long))
						return a.N, nil
					}
				}
				var futs []*task.Future[int]
				for range n / 10 {
					futs = append(futs, r.submit(render, 8)...)
					futs = append(futs, r.submit(render, 2, task.Queue("slow"))...)
					futs = append(futs, r.submit(mail, 10, task.Queue("slow"))...)
					futs = append(futs, r.submit(mail, 10)...)
				}
				r.studio(10, both(&renders), both(&mails), minion.Queues("slow", "default"), minion.AtMost("render", 2), minion.AtMostFrom("slow", 3))
				r.results(futs)
				if renders.most.Load() != 2 || slow.most.Load() != 3 || all.most.Load() > 10 || mails.most.Load() < 5 {
					t.Errorf("up to %d renders, %d tasks of the slow queue, %d mails, and %d in all; want 2, 3, and 10",
						renders.most.Load(), slow.most.Load(), mails.most.Load(), all.most.Load())
				}
				for _, fut := range futs {
					r.want(fut, broker.StateSucceeded, 1, 0)
				}
			})
		})
	}
}

// Ten mails behind 10,000 renders start soon, although only two renders may run.
func TestAtMostDoesNotBlockTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var renders usage
		r.submit(render, 10_000)
		mails := r.submit(mail, 10)
		began := time.Now()
		r.studio(10, renders.takes(time.Hour), nothing, minion.AtMost("render", 2))
		r.results(mails)
		if d := time.Since(began); d > 15*time.Second {
			t.Errorf("the mails took %v", d)
		}
		if renders.now.Load() != 2 {
			t.Errorf("%d renders run", renders.now.Load())
		}

		// The renders that wait cost little, and a mail does not wait for them.
		time.Sleep(10 * time.Minute)
		calls, items := r.b.Calls(faulty.Dequeue), r.b.Items(faulty.Settle)
		time.Sleep(10 * time.Minute)
		calls, items = r.b.Calls(faulty.Dequeue)-calls, r.b.Items(faulty.Settle)-items
		if calls > 150_000 || items > 150_000 { // each of the 10,000 is put off for 30 to 60 s
			t.Errorf("%d requests, and %d tasks put off, in ten minutes", calls, items)
		}
		began = time.Now()
		r.results(r.submit(mail, 10))
		if d := time.Since(began); d > time.Second {
			t.Errorf("further mails took %v", d)
		}
	})
}

// The next task of a name with a ceiling starts when one ends, also if tasks take long.
func TestAtMostIsUsedUp(t *testing.T) {
	for _, long := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 10 * time.Second, time.Minute} {
		t.Run(long.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				const n, most = 40, 2
				var u usage
				futs := r.submit(render, n, task.Retention(24*time.Hour))
				began := time.Now()
				r.studio(10, u.takes(long), nothing, minion.AtMost("render", most))
				r.results(futs)
				ideal := n / most * long
				if d := time.Since(began); d > ideal*3/2+5*time.Second {
					t.Errorf("%d tasks took %v, want about %v", n, d, ideal)
				}
			})
		})
	}
}

// Tasks that can't start here run on another minion that can start them, soon.
func TestAtMostElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var here, there usage
		r.studio(10, here.takes(time.Hour), nothing, minion.AtMost("render", 1))
		r.submit(render, 20)
		time.Sleep(time.Second)
		r.studio(19, there.takes(time.Hour), nothing)
		began := time.Now()
		for there.now.Load() < 19 {
			time.Sleep(10 * time.Millisecond)
		}
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("the others started after %v", d)
		}
		if here.most.Load() != 1 {
			t.Errorf("%d tasks run here", here.most.Load())
		}
	})
}

// A minion with a ceiling does not slow down one without.
func TestAtMostDoesNotHoldUpOthers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const n, slots, long = 10_000, 10, 10 * time.Millisecond
		var here usage
		var done atomic.Int32
		r.submit(render, n)
		began := time.Now()
		r.studio(slots, func(context.Context, args) (int, error) {
			defer done.Add(1)
			time.Sleep(long)
			return 0, nil
		}, nothing)
		r.studio(slots, here.takes(time.Hour), nothing, minion.AtMost("render", 1))
		for done.Load() < n-1 { // one runs here for an hour
			time.Sleep(10 * time.Millisecond)
		}
		ideal := n / slots * long
		if d := time.Since(began); d > 2*ideal+time.Minute { // some have been put off, at most for a minute
			t.Errorf("%d tasks took %v, want about %v", n, d, ideal)
		}
	})
}

// A task that waits for a ceiling ends like any task that waits: it is killed, expires, or goes
// to another minion.
func TestAtMostWhileItWaits(t *testing.T) {
	full := func(r *rig, u *usage, opts ...minion.Option) *crew {
		c := r.studio(10, u.takes(time.Hour), nothing, append(opts, minion.AtMost("render", 1), minion.DrainTimeout(0))...)
		r.submit(render, 1)
		settled()
		return c
	}
	t.Run("kill", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var u usage
			full(r, &u)
			fut := r.submit(render, 1)[0]
			settled()
			began := time.Now()
			_, err := r.arb.Kill(t.Context(), fut.ID(), arbiter.Wait())
			if d := time.Since(began); err != nil || d > 200*time.Millisecond {
				t.Errorf("killed after %v: %v", d, err)
			}
			r.want(fut, broker.StateCanceled, 0, 0)
		})
	})
	t.Run("deadline", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var u usage
			full(r, &u)
			for _, within := range []time.Duration{time.Second, 2500 * time.Millisecond, time.Minute} { // it waits here, or was put off
				began := time.Now()
				fut := r.submit(render, 1, task.Within(within))[0]
				if _, err := r.result(fut); !errors.Is(err, task.ErrExpired) {
					t.Errorf("error %v, want ErrExpired", err)
				}
				if d := time.Since(began); d < within || d > within+1100*time.Millisecond {
					t.Errorf("it expired after %v, want %v", d, within)
				}
			}
		})
	})
	t.Run("stop", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var u usage
			c := full(r, &u)
			futs := r.submit(render, 5)
			settled()
			if err := c.stop(); err != nil {
				t.Error(err)
			}
			if q := r.queue(); q.Running != 0 || q.Pending != 6 {
				t.Errorf("after the stop %d tasks are running, and %d pending; want 0 and 6", q.Running, q.Pending)
			}
			r.studio(10, nothing, nothing)
			r.results(futs)
			for _, fut := range futs {
				r.want(fut, broker.StateSucceeded, 1, 0)
			}
		})
	})
	t.Run("lease", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var u usage
			var o out
			r.b.Set(o.hooks(all...))
			full(r, &u)
			futs := r.submit(render, 3, task.Retention(24*time.Hour))
			settled()
			o.down.Store(true)
			time.Sleep(time.Minute)
			if u.now.Load() != 0 {
				t.Errorf("%d handlers run without a lease", u.now.Load())
			}
			o.down.Store(false)
			r.results(futs)
			if u.most.Load() != 1 {
				t.Errorf("up to %d ran at once", u.most.Load())
			}
		})
	})
	t.Run("death", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			var u usage
			p := r.host(10, func(p *host, ctx context.Context, a args) (int, error) {
				if p.died() > 0 {
					return 0, nil
				}
				return u.takes(time.Hour)(ctx, a)
			}, minion.AtMost("work", 1))
			futs := r.submit(work, 5)
			settled()
			p.die()
			began := time.Now()
			r.results(futs)
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("they were back after %v", d)
			}
		})
	})
}

// A handler that ignores its context after the lease was lost still counts: the next session
// of the minion starts no further task.
func TestAtMostAcrossSessions(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var u usage
		var o out
		r.b.Set(o.hooks(all...))
		r.studio(10, func(_ context.Context, a args) (int, error) {
			defer u.enter(1)()
			time.Sleep(2 * time.Minute)
			return a.N, nil
		}, nothing, minion.AtMost("render", 1))
		futs := r.submit(render, 3)
		settled()
		o.down.Store(true)
		time.Sleep(30 * time.Second)
		o.down.Store(false)
		r.results(r.submit(mail, 3)) // the minion is back
		if u.now.Load() != 1 {
			t.Errorf("%d handlers run", u.now.Load())
		}
		r.results(futs)
		if u.most.Load() != 1 {
			t.Errorf("up to %d ran at once, want 1", u.most.Load())
		}
	})
}

// Between its attempts a task does not count.
func TestAtMostBetweenAttempts(t *testing.T) {
	for name, again := range map[string]error{
		"retry": task.RetryAfter(time.Minute, errBad), "snooze": task.Snooze(time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				var u usage
				var first atomic.Bool
				r.studio(10, func(ctx context.Context, a args) (int, error) {
					defer u.enter(1)()
					if a.N == 0 && !first.Swap(true) {
						return 0, again
					}
					return a.N, rest(ctx, 10*time.Second)
				}, nothing, minion.AtMost("render", 1))
				futs := r.submit(render, 3)
				began := time.Now()
				r.results(futs[1:])
				if d := time.Since(began); d > 30*time.Second {
					t.Errorf("the others took %v", d)
				}
				r.results(futs)
				if u.most.Load() != 1 {
					t.Errorf("up to %d ran at once", u.most.Load())
				}
			})
		})
	}
}

// Tasks of a name with a ceiling that wait for others of that name do not wait for each other. After
// its wait a handler goes on at once, and no further one starts until there are few enough.
func TestAtMostOfTasksThatWait(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var u usage
		r.studio(4, func(ctx context.Context, a args) (int, error) {
			if a.N > 0 {
				n, err := render.Call(ctx, submitter(ctx), args{a.N - 1})
				defer u.enter(1)()
				return n + 1, errors.Join(err, rest(ctx, time.Second))
			}
			defer u.enter(1)()
			return 0, rest(ctx, time.Second)
		}, nothing, minion.AtMost("render", 1))
		fut, err := render.Apply(t.Context(), r.arb, args{5})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.result(fut); n != 5 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		if u.most.Load() != 1 {
			t.Errorf("up to %d ran at once", u.most.Load())
		}

		// Two handlers come back from a wait at the same time.
		began := time.Now()
		var futs []*task.Future[int]
		for range 3 {
			fut, err := render.Apply(t.Context(), r.arb, args{1})
			if err != nil {
				t.Fatal(err)
			}
			futs = append(futs, fut)
		}
		r.results(futs)
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("they took %v", d)
		}
	})
}

// A ceiling counts tasks, however many slots they take.
func TestAtMostOfHeavyTasks(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var u, mails usage
		futs := r.submit(render, 20, task.Slots(3))
		futs = append(futs, r.submit(mail, 50)...)
		r.studio(10, u.takes(time.Second), mails.takes(time.Second), minion.AtMost("render", 2))
		r.results(futs)
		if u.most.Load() != 2 || mails.most.Load() < 4 || mails.most.Load() > 10 {
			t.Errorf("up to %d heavy tasks and %d others ran at once", u.most.Load(), mails.most.Load())
		}
	})
}

// A minion takes no more tasks of a queue with a ceiling than it may run. So these tasks keep their
// order, are handed out once, and go to any minion that is free.
func TestAtMostFromKeepsTheOrder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const n = 200
		var o order
		var u usage
		futs := r.submit(render, n, task.Queue("slow"))
		futs = append(futs, r.submit(mail, n)...)
		r.studio(10, func(ctx context.Context, a args) (int, error) {
			o.add(a.N)
			if q := r.queueOf("slow"); q.Running > 3 { // one may just be settled
				t.Errorf("the minion has %d tasks of the queue", q.Running)
			}
			return u.takes(10*time.Millisecond)(ctx, a)
		}, u.takes(5*time.Millisecond), minion.Weighted(map[string]int{"slow": 5, "default": 1}), minion.AtMostFrom("slow", 1))
		r.results(futs)
		if !slices.IsSorted(o.nums) {
			t.Errorf("the order was %v", o.nums)
		}
		if given := r.b.Items(faulty.Settle) - 2*n; given > n/4 {
			t.Errorf("%d tasks were given back", given)
		}
	})
}

// While the ceiling of its only queue is reached, a minion asks for nothing.
func TestAtMostFromTheOnlyQueue(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var u usage
		r.studio(10, u.takes(time.Hour), nothing, minion.AtMostFrom("default", 2))
		r.submit(render, 100)
		settled()
		before := r.b.Calls(faulty.Dequeue)
		time.Sleep(time.Minute)
		if calls := r.b.Calls(faulty.Dequeue) - before; calls != 0 || u.now.Load() != 2 {
			t.Errorf("%d requests in a minute, and %d tasks run", calls, u.now.Load())
		}
		if q := r.queue(); q.Running != 2 || q.Pending != 98 {
			t.Errorf("%d running and %d pending, want 2 and 98", q.Running, q.Pending)
		}
	})
}

// A queue is asked again as soon as it has room, although the minion waits for a task of
// another queue, for a minute.
func TestAtMostFromBesideAnEmptyQueue(t *testing.T) {
	for _, most := range []int{1, 3} {
		bubble(t, func(t *testing.T, r *rig) {
			const n = 12
			var u usage
			r.studio(10, u.takes(time.Second), nothing, minion.Queues("default", "slow"), minion.AtMostFrom("slow", most))
			settled()
			began := time.Now()
			r.results(r.submit(render, n, task.Queue("slow")))
			if d, want := time.Since(began), n/time.Duration(most)*time.Second; d > want+time.Second {
				t.Errorf("%d tasks of a second, %d at once, took %v, want %v", n, most, d, want)
			}
			if int(u.most.Load()) != most {
				t.Errorf("up to %d ran at once, want %d", u.most.Load(), most)
			}
		})
	}
}

// queueOf returns the numbers of a queue.
func (r *rig) queueOf(name string) broker.QueueInfo {
	r.Helper()
	infos, err := r.b.Broker.(broker.Inspector).Queues(context.Background())
	if err != nil {
		r.Fatal(err)
	}
	for _, q := range infos {
		if q.Name == name {
			return q
		}
	}
	return broker.QueueInfo{}
}

// A squad does not start if it would exceed a ceiling, and the error says so. Its members count
// like other tasks.
func TestAtMostAndSquads(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var u usage
		r.studio(10, u.takes(time.Minute), nothing, minion.AtMost("render", 3))
		settled()
		squadOf := func(n int) error {
			calls := make([]task.Call[int], n)
			for i := range calls {
				calls[i] = render.Bind(args{i})
			}
			_, err := arbiter.SquadOf(t.Context(), r.arb, calls)
			return err
		}
		if err := squadOf(4); err == nil || !strings.Contains(err.Error(), "AtMost") {
			t.Errorf("a squad beyond the ceiling: %v", err)
		}
		settled()
		if u.most.Load() != 0 {
			t.Errorf("%d of its members ran", u.most.Load())
		}
		if err := squadOf(2); err != nil {
			t.Error(err)
		}
		futs := r.submit(render, 4)
		settled()
		if u.now.Load() != 3 {
			t.Errorf("%d run beside the squad, want 3 in all", u.now.Load())
		}
		if err := squadOf(1); err == nil {
			t.Error("another squad started although the ceiling was reached")
		}
		r.results(futs)
		if u.most.Load() != 3 {
			t.Errorf("up to %d ran at once", u.most.Load())
		}
	})
}

// A member that was given a place, and whose squad does not start, leaves it again.
func TestAtMostOfSquadThatDoesNotStart(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		var running atomic.Int32
		r.crew(5, hour(&running), minion.AtMost("work", 2))
		settled()
		c := r.captain()
		c.say(squad.Reserve, 2, 5*time.Second)
		c.hears(squad.Granted)
		c.store(2)
		c.hears(squad.Ready)
		r.submit(work, 3)
		c.running(&running, 0)
		time.Sleep(10 * time.Second) // the arbiter is not heard of any more
		c.running(&running, 2)
	}, memory.Lease(time.Minute))
}

// New and Run refuse a ceiling that is not valid, or can have no effect, and name the remedy.
func TestAtMostErrors(t *testing.T) {
	for want, opts := range map[string][]minion.Option{
		"AtMost(\"render\", 0), want 1 to 1000000":                                          {minion.AtMost("render", 0)},
		"AtMost(\"render\", 1000001), want 1 to 1000000":                                    {minion.AtMost("render", minion.MaxSlots+1)},
		"AtMostFrom(\"default\", -1), want 1 to 1000000; leave the option out for no bound": {minion.AtMostFrom("default", -1)},
		"AtMost: invalid task name":                                                         {minion.AtMost("", 1)},
		"AtMostFrom: invalid queue name":                                                    {minion.AtMostFrom("a/b", 1)},
		"AtMostFrom: the minion does not serve queue mail; name it in Queue":                {minion.AtMostFrom("mail", 1), minion.Queue("default")},
	} {
		if _, err := minion.New(memory.New(), opts...); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want ErrInvalid with %q", err, want)
		}
	}
	m := must(minion.New(memory.New(), minion.AtMost("rendr", 1), minion.AtMostFrom("mail", 1), minion.Queues("default", "mail")))
	if err := task.Handle(m, render, nothing); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context(), 1); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "AtMost: task rendr is not registered") {
		t.Errorf("Run: error %v, want ErrInvalid that names the task", err)
	}
}

// of two ceilings of the same name the later one counts; those of different names add up.
func TestAtMostTwice(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var renders, mails usage
		r.studio(10, renders.takes(time.Second), mails.takes(time.Second), minion.AtMost("render", 5), minion.AtMost("mail", 1), minion.AtMost("render", 2))
		var wg sync.WaitGroup
		wg.Go(func() { r.results(r.submit(render, 10)) })
		wg.Go(func() { r.results(r.submit(mail, 10)) })
		wg.Wait()
		if renders.most.Load() != 2 || mails.most.Load() != 1 {
			t.Errorf("up to %d and %d ran at once, want 2 and 1", renders.most.Load(), mails.most.Load())
		}
	})
}
