package minion_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/internal/testing/testform"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// host simulates a machine on which a process with a minion runs, and another one when
// that has died. Each process has its own wrapper of the broker, which dies with it.
type host struct {
	r     *rig
	slots int
	fn    func(p *host, ctx context.Context, a args) (int, error)
	opts  []minion.Option

	mu     sync.Mutex
	b      *faulty.Broker
	deaths int
	all    sync.WaitGroup
	stop   context.CancelFunc
}

// host starts the first process. The next one starts when it has died.
func (r *rig) host(slots int, fn func(p *host, ctx context.Context, a args) (int, error), opts ...minion.Option) *host {
	p := &host{r: r, slots: slots, fn: fn, opts: append(opts, minion.DrainTimeout(0), minion.Logger(r.logs.logger()))}
	p.begin()
	r.Cleanup(func() {
		p.mu.Lock()
		p.stop()
		p.mu.Unlock()
		p.all.Wait()
	})
	return p
}

func (p *host) begin() {
	p.b = faulty.New(p.r.b.Broker)
	m := must(minion.New(p.b, p.opts...))
	if err := task.Handle(m, work, func(ctx context.Context, a args) (int, error) { return p.fn(p, ctx, a) }); err != nil {
		p.r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.all.Go(func() { _ = m.Run(ctx, p.slots) })
}

// die ends the process as SIGKILL does, and starts the next one.
func (p *host) die() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.b.Kill()
	p.stop()
	p.deaths++
	p.begin()
}

func (p *host) died() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaths
}

// rest simulates work that takes some time.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// One task kills its minion again and again while long tasks run beside it, 200 of them in
// the long form. Only that task becomes a dead letter.
func TestPoison(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.host(250, func(p *host, ctx context.Context, a args) (int, error) {
			if a.N == 0 {
				_ = rest(ctx, time.Second)
				p.die()
				return 0, errBad
			}
			return a.N, rest(ctx, 30*time.Second)
		})
		var innocents []*task.Future[int]
		n := testform.Pick(20, 100) // this many before it, and as many after it
		for i := range n {
			innocents = append(innocents, r.send(i+1))
		}
		poison := r.send(0)
		for i := range n {
			innocents = append(innocents, r.send(i+n+1))
		}
		r.fails(poison, task.ErrMinionDied, "4 times")
		for i, fut := range innocents {
			if n, err := r.result(fut); n != i+1 || err != nil {
				t.Errorf("innocent task %d: %d, %v", i+1, n, err)
			}
		}
		if n := p.died(); n != minion.DefaultMaxRecoveries {
			t.Errorf("%d minions died, want %d", n, minion.DefaultMaxRecoveries)
		}
		if dead := r.dead("default"); len(dead) != 1 {
			t.Errorf("%d dead letters, want one", len(dead))
		}
	})
}

// Exactly MaxRecoveries minions die, also for small numbers.
func TestPoisonKillsExactly(t *testing.T) {
	for n := 1; n <= 6; n++ {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.host(10, func(p *host, _ context.Context, a args) (int, error) {
				if a.N == 0 {
					p.die()
					return 0, errBad
				}
				return a.N, nil
			}, minion.MaxRecoveries(n))
			r.fails(r.send(0), task.ErrMinionDied, "")
			if got := p.died(); got != n {
				t.Errorf("MaxRecoveries(%d): %d minions died", n, got)
			}
			if v, err := r.result(r.send(7)); v != 7 || err != nil {
				t.Errorf("after it: %d, %v", v, err)
			}
		})
	}
}

// A minion is killed three times from outside. None of its tasks becomes a dead letter.
func TestKilledFromOutside(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.host(50, func(_ *host, ctx context.Context, a args) (int, error) {
			return a.N, rest(ctx, 5*time.Minute)
		})
		var futs []*task.Future[int]
		for i := range 20 {
			futs = append(futs, r.send(i))
		}
		for range 3 {
			time.Sleep(2 * time.Minute)
			p.die()
		}
		for i, fut := range futs {
			if n, err := r.result(fut); n != i || err != nil {
				t.Errorf("task %d: %d, %v", i, n, err)
			}
		}
	})
}

// A task that was held by minions that died, and never started, never becomes a dead letter.
func TestHeldIsNotStarted(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		fut := r.send(3)
		for range 300 {
			c, err := r.b.Consume(t.Context(), broker.ConsumerConfig{Queues: []string{"default"}, Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Dequeue(t.Context(), []string{"default"}, 1, time.Minute); len(got) != 1 || err != nil {
				t.Fatalf("dequeue: %v, %v", got, err)
			}
			time.Sleep(time.Minute) // the consumer sends no heartbeat
		}
		r.crew(1, func(_ context.Context, a args) (int, error) { return a.N, nil })
		if n, err := r.result(fut); n != 3 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
	})
}

// The start of a task that was not held by a dead minion is not recorded.
func TestStartsAreNotRecorded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tries := 0
		r.crew(2, func(_ context.Context, a args) (int, error) {
			if tries++; tries < 3 {
				return 0, errBad
			}
			return a.N, nil
		})
		for i := range 20 {
			if n, err := r.result(r.send(i)); n != i || err != nil {
				t.Errorf("result: %d, %v", n, err)
			}
		}
		if n := r.b.Calls(faulty.RecordStart); n != 0 {
			t.Errorf("%d starts were recorded, want none", n)
		}
	})
}

// suspects sends n tasks and makes suspects of them. No minion may run yet.
func (r *rig) suspects(n int, opts ...task.Option) []*task.Future[int] {
	r.Helper()
	var futs []*task.Future[int]
	for i := range n {
		futs = append(futs, r.send(i, opts...))
	}
	r.suspect(n)
	return futs
}

// suspect makes suspects of n waiting tasks.
func (r *rig) suspect(n int) {
	r.Helper()
	for range 2 {
		c, err := r.b.Consume(r.Context(), broker.ConsumerConfig{Queues: []string{"default"}, Slots: n})
		if err != nil {
			r.Fatal(err)
		}
		for got := 0; got < n; {
			ds, err := c.Dequeue(r.Context(), []string{"default"}, n, time.Minute)
			if err != nil {
				r.Fatal(err)
			}
			for _, d := range ds {
				if _, _, err := r.b.RecordStart(r.Context(), d); err != nil {
					r.Fatal(err)
				}
			}
			got += len(ds)
		}
		time.Sleep(time.Minute) // the consumer sends no heartbeat
	}
}

// A minion runs one suspect at a time. Other tasks run beside it.
func TestOneSuspectAtATime(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		futs := r.suspects(30)
		var running, most, beside atomic.Int32
		r.crew(10, func(ctx context.Context, a args) (int, error) {
			if a.N >= 1000 {
				if running.Load() > 0 {
					beside.Add(1)
				}
				return a.N, nil
			}
			n := running.Add(1)
			defer running.Add(-1)
			for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
			}
			return a.N, rest(ctx, 3*time.Second)
		})
		for running.Load() == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		began := time.Now()
		for i := range 50 {
			if n, err := r.result(r.send(1000 + i)); n != 1000+i || err != nil {
				t.Errorf("another task: %d, %v", n, err)
			}
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("others waited %v for suspects", d)
		}
		for _, fut := range futs {
			r.want(fut, broker.StateSucceeded, 3, 0) // being put off is not an attempt
		}
		if most.Load() != 1 || beside.Load() == 0 {
			t.Errorf("%d suspects ran at the same time, %d others beside one", most.Load(), beside.Load())
		}
	})
}

// A suspect is charged with the death of its minion until its settlement is stored, even if
// its handler has returned. So the next suspect starts only after that.
func TestSuspectIsSettledFirst(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		futs := r.suspects(2)
		var starts, stored atomic.Int32
		r.b.Set(faulty.Hooks{
			Before: func(_ context.Context, op faulty.Op, _ int) error {
				if op == faulty.Settle {
					time.Sleep(5 * time.Second)
				}
				return nil
			},
			Refuse: func(s broker.Settlement) error {
				if s.Verb == broker.VerbFinish {
					stored.Add(1)
				}
				return nil
			},
		})
		r.crew(2, func(_ context.Context, a args) (int, error) {
			if starts.Add(1) == 2 && stored.Load() == 0 {
				t.Error("a suspect started before the one before was settled")
			}
			return a.N, nil
		})
		for _, fut := range futs {
			r.want(fut, broker.StateSucceeded, 3, 0)
		}
	})
}

// The same, if the broker settles the rest of a batch and fails for the suspect.
func TestSuspectIsSettledFirstOfABatch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		futs := r.suspects(2)
		var starts, stored atomic.Int32
		began := time.Now()
		r.b.Set(faulty.Hooks{Refuse: func(s broker.Settlement) error {
			if s.Verb != broker.VerbFinish {
				return nil
			}
			if time.Since(began) < time.Minute {
				return broker.ErrUnavailable
			}
			stored.Add(1)
			return nil
		}})
		r.crew(2, func(_ context.Context, a args) (int, error) {
			if starts.Add(1) == 2 && stored.Load() == 0 {
				t.Error("a suspect started before the one before was settled")
			}
			return a.N, nil
		})
		for _, fut := range futs {
			r.want(fut, broker.StateSucceeded, 3, 0)
		}
	})
}

// If the program has children, a suspect runs alone in one of them. If that process ends,
// the task becomes a dead letter, and the minion lives.
func TestSuspectInItsOwnProcess(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		send := func(d deed) *task.Future[trace] {
			fut, err := inside.With(task.Retries(0)).Apply(t.Context(), r.arb, d)
			if err != nil {
				t.Fatal(err)
			}
			return fut
		}
		var fatal []*task.Future[trace]
		for _, d := range []deed{{What: "exit", N: 3}, {What: "kill"}, {What: "lone panic", Text: "oh"}} {
			fatal = append(fatal, send(d))
		}
		echo, other := send(deed{What: "echo", Text: "hello"}), send(deed{What: "echo", Text: "there"})
		bad, asks := send(deed{What: "error", Text: "it"}), send(deed{What: "call", N: 3})
		unfit := r.send(5) // Child does not register it
		r.suspect(8)
		m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
		if err := errors.Join(registerIsolated(m), task.Handle(m, work, func(_ context.Context, a args) (int, error) { return a.N, nil })); err != nil {
			t.Fatal(err)
		}
		r.start(m, 10)
		for i, fut := range fatal {
			var e *task.RemoteError
			if _, err := fut.Result(t.Context()); !errors.Is(err, task.ErrMinionDied) || !errors.As(err, &e) {
				t.Errorf("fatal task %d: %v", i, err)
			}
		}
		first, err1 := echo.Result(t.Context())
		second, err2 := other.Result(t.Context())
		if err1 != nil || err2 != nil || first.Text != "hello" || first.PID == os.Getpid() || second.PID == os.Getpid() || first.PID == second.PID {
			t.Errorf("%+v, %v; %+v, %v; want each in a process of its own", first, err1, second, err2)
		}
		if _, err := bad.Result(t.Context()); !errors.Is(err, errKnown) || errors.Is(err, task.ErrMinionDied) {
			t.Errorf("a suspect that fails: %v", err)
		}
		if tr, err := asks.Result(t.Context()); err != nil || tr.N != 4 {
			t.Errorf("a suspect that calls another task: %+v, %v", tr, err)
		}
		if n, err := r.result(unfit); n != 5 || err != nil {
			t.Errorf("a suspect that the child can't run: %d, %v", n, err)
		}
		if dead := r.dead("default"); len(dead) != len(fatal)+1 {
			t.Errorf("%d dead letters, want %d", len(dead), len(fatal)+1)
		}
		tr, err := send(deed{What: "echo"}).Result(t.Context())
		if err != nil || tr.PID != os.Getpid() {
			t.Errorf("a task that is no suspect: %+v, %v", tr, err)
		}
	})
}

// A suspect that runs for long delays the others only for a limited time.
func TestSuspectsDoNotStarve(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		futs := r.suspects(2)
		began := time.Now()
		var started []time.Duration
		var mu sync.Mutex
		r.crew(10, func(ctx context.Context, a args) (int, error) {
			mu.Lock()
			started = append(started, time.Since(began))
			mu.Unlock()
			return a.N, rest(ctx, 24*time.Hour)
		}, minion.DrainTimeout(0))
		for _, fut := range futs {
			r.want(fut, broker.StateSucceeded, 3, 0)
		}
		if d := slices.Max(started); d < 9*time.Minute || d > 15*time.Minute {
			t.Errorf("the second one started after %v, want 10 minutes and a bit", d)
		}
	})
}

// A suspect that waits for another suspect lets it start.
func TestSuspectWaitsForSuspect(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		futs := r.suspects(2)
		r.crew(10, func(ctx context.Context, a args) (int, error) {
			if a.N == 0 {
				return task.NewFuture[int](submitter(ctx), futs[1].ID()).Result(ctx)
			}
			return 5, nil
		})
		began := time.Now()
		if n, err := r.result(futs[0]); n != 5 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
		if d := time.Since(began); d > time.Minute {
			t.Errorf("it took %v", d)
		}
	})
}

// A suspect keeps its turn while it waits for a task that is no suspect. So no other suspect can end
// the minion meanwhile, and have the one that waits charged with that.
func TestWaitingSuspectKeepsItsTurn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		futs := r.suspects(5)
		var running, most, waits atomic.Int32
		r.crew(10, func(ctx context.Context, a args) (int, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
			}
			for i := range 2 {
				if _, err := work.With(task.Queue("other")).Call(ctx, submitter(ctx), args{10*a.N + i}); err != nil {
					return 0, err
				}
			}
			return a.N, nil
		})
		r.crew(10, func(_ context.Context, a args) (int, error) {
			waits.Add(running.Load())
			time.Sleep(20 * time.Second)
			return a.N, nil
		}, minion.Queue("other"))
		for _, fut := range futs {
			r.want(fut, broker.StateSucceeded, 3, 0)
		}
		if most.Load() != 1 || waits.Load() != 2*5 {
			t.Errorf("%d suspects ran at the same time, want 1; %d waited for another task, want 10", most.Load(), waits.Load())
		}
	})
}

// A group that a suspect waits for may have suspects among its members. They start one after the
// other, and no further suspect does.
func TestSuspectWaitsForGroupOfSuspects(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const parent, members, others = 0, 3, 3
		var futs []*task.Future[int]
		for i := range 1 + others {
			futs = append(futs, r.send(parent+i))
		}
		h, err := r.arb.Group(t.Context(), []task.Bound{work.Bind(args{10}), work.Bind(args{11}), work.Bind(args{12})})
		if err != nil {
			t.Fatal(err)
		}
		r.suspect(1 + members + others)
		var waits, inside, most, beside atomic.Int32
		r.crew(10, func(ctx context.Context, a args) (int, error) {
			switch {
			case a.N == parent:
				waits.Store(1)
				defer waits.Store(0)
				_, err := task.NewFuture[[]int](submitter(ctx), h.ID()).Result(ctx)
				return a.N, err
			case a.N < 10: // one of the others
				beside.Add(waits.Load())
			}
			n := inside.Add(1)
			defer inside.Add(-1)
			for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
			}
			return a.N, rest(ctx, 5*time.Second)
		})
		for _, fut := range futs {
			if _, err := r.result(fut); err != nil {
				t.Error(err)
			}
		}
		if most.Load() != 1 || beside.Load() != 0 {
			t.Errorf("%d suspects ran at the same time, want 1; %d of others beside one that waited for a group, want none", most.Load(), beside.Load())
		}
	})
}

// A task kills its minion again and again beside parents that wait for their children. Only that
// task becomes a dead letter.
func TestPoisonBesideParents(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.host(20, func(p *host, ctx context.Context, a args) (int, error) {
			if a.N == 0 {
				_ = rest(ctx, time.Second)
				p.die()
				return 0, errBad
			}
			for i := range 30 { // many short waits
				if n, err := work.With(task.Queue("other")).Call(ctx, submitter(ctx), args{100*a.N + i}); n != 100*a.N+i || err != nil {
					return 0, errors.Join(err, errBad)
				}
			}
			return a.N, nil
		})
		r.crew(100, func(ctx context.Context, a args) (int, error) { return a.N, rest(ctx, 3*time.Second) }, minion.Queue("other"))
		poison := r.send(0)
		var parents []*task.Future[int]
		for i := range 5 {
			parents = append(parents, r.send(i+1))
		}
		r.fails(poison, task.ErrMinionDied, "4 times")
		for i, fut := range parents {
			if n, err := r.result(fut); n != i+1 || err != nil {
				t.Errorf("parent %d: %d, %v", i+1, n, err)
			}
		}
		if n := p.died(); n != minion.DefaultMaxRecoveries {
			t.Errorf("%d minions died, want %d", n, minion.DefaultMaxRecoveries)
		}
	})
}

// A suspect that was put off can be killed, and expires at its deadline.
func TestSuspectPutOff(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		began := time.Now()
		futs := r.suspects(3, task.Within(8*time.Minute))
		r.crew(10, func(ctx context.Context, a args) (int, error) { return a.N, rest(ctx, 9*time.Minute) })
		time.Sleep(30 * time.Second)
		ran := 0
		for i, fut := range futs {
			switch r.status(fut.ID()).State {
			case broker.StateRunning:
				ran++
			case broker.StateRetrying:
				if i == 1 && ran == 1 || i == 0 {
					if _, err := r.arb.Kill(t.Context(), fut.ID()); err != nil {
						t.Fatal(err)
					}
					r.want(fut, broker.StateCanceled, 2, 0)
					continue
				}
				r.want(fut, broker.StateExpired, 2, 0)
				if d := time.Since(began); d > 8*time.Minute+20*time.Second {
					t.Errorf("it expired after %v", d)
				}
			default:
				t.Errorf("suspect %d is %s", i, r.status(fut.ID()).State)
			}
		}
	})
}

// While starts can't be recorded, a task whose start must be recorded does not start.
func TestRecordOutage(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		fut := r.suspects(1)[0]
		var o out
		r.b.Set(o.hooks(faulty.RecordStart))
		o.down.Store(true)
		r.crew(1, func(_ context.Context, a args) (int, error) {
			if o.down.Load() {
				t.Error("it started without a record")
			}
			return a.N, nil
		})
		time.Sleep(time.Hour)
		o.down.Store(false)
		r.want(fut, broker.StateSucceeded, 3, 0)
	})
}

// An outage longer than the lease is not a death: a long task does not become a dead
// letter, however many outages there are.
func TestOutagesAreNoDeaths(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var o out
		r.b.Set(o.hooks(faulty.Settle, faulty.Dequeue, faulty.Heartbeat, faulty.Consume, faulty.Leave, faulty.RecordStart))
		cuts := 0
		r.crew(1, func(ctx context.Context, a args) (int, error) {
			if cuts < 8 {
				cuts++
				o.down.Store(true)
				time.AfterFunc(5*memory.DefaultLease, func() { o.down.Store(false) })
			}
			return a.N, rest(ctx, time.Hour)
		}, minion.MaxRecoveries(2))
		other := must(minion.New(r.b.Broker, minion.Queues("elsewhere"), minion.Logger(slog.New(slog.DiscardHandler))))
		r.start(other, 1)
		r.want(r.send(3), broker.StateSucceeded, 9, 0)
		if cuts != 8 {
			t.Errorf("there were %d outages, want 8", cuts)
		}
	})
}
