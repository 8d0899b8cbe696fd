package minion_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	bare "github.com/go-arbiter/arbiter/internal/testing/plain"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// fresh is a task that only minions of the new build know.
var fresh = task.Define[args, int]("fresh")

// newCrew starts a minion of the new build, which also knows work.
func (r *rig) newCrew(slots int, opts ...minion.Option) *crew {
	r.Helper()
	m := must(minion.New(r.b, append([]minion.Option{minion.Logger(r.logs.logger())}, opts...)...))
	for _, t := range []task.Task[args, int]{work, fresh} {
		if err := task.Handle(m, t, func(_ context.Context, a args) (int, error) { return a.N, nil }); err != nil {
			r.Fatal(err)
		}
	}
	return r.start(m, slots)
}

// queued returns the numbers of the default queue.
func (r *rig) queued() broker.QueueInfo {
	r.Helper()
	infos, err := r.b.Broker.(broker.Inspector).Queues(context.Background())
	if err != nil || len(infos) != 1 {
		r.Fatalf("queues: %+v, %v", infos, err)
	}
	return infos[0]
}

// sendFresh sends n tasks that only the new build knows.
func (r *rig) sendFresh(n int) []*task.Future[int] {
	r.Helper()
	futs := make([]*task.Future[int], n)
	for i := range futs {
		fut, err := fresh.Apply(context.Background(), r.arb, args{i})
		if err != nil {
			r.Fatal(err)
		}
		futs[i] = fut
	}
	return futs
}

// A minion of the old build and one of the new build serve a queue; the old one starts
// first. The tasks of the new build succeed, and the old minion's own work goes on.
func TestParkedUntilTheNewBuild(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(2, func(_ context.Context, a args) (int, error) { return a.N, nil })
		futs := r.sendFresh(500)
		for i := range 20 {
			if n, err := r.result(r.send(i)); n != i || err != nil {
				t.Fatalf("a task of the old build: %d, %v", n, err)
			}
		}
		synctest.Wait()
		if q := r.queued(); q.Parked != 500 || q.Pending+q.Running+q.Dead != 0 {
			t.Fatalf("%+v, want 500 parked", q)
		}
		st := r.status(futs[0].ID())
		if st.State != broker.StateParked || st.Phase() != broker.PhaseInitiated || time.Until(st.Due) > 24*time.Hour {
			t.Errorf("status: %+v", st)
		}
		if n := r.logs.count("task parked"); n != 500 || r.logs.count("level=WARN msg=\"task parked") != 1 {
			t.Errorf("parked was logged %d times, once as a warning: %.500s", n, r.logs)
		}
		// The old minion is idle: parked tasks do not come back to it.
		dequeues, settles := r.b.Calls(faulty.Dequeue), r.b.Calls(faulty.Settle)
		time.Sleep(time.Hour)
		if n := r.b.Calls(faulty.Dequeue) - dequeues; n > 61 || r.b.Calls(faulty.Settle) != settles {
			t.Errorf("in an hour there were %d dequeues and %d settlements", n, r.b.Calls(faulty.Settle)-settles)
		}
		r.newCrew(2)
		began := time.Now()
		for i, fut := range futs {
			if n, err := r.result(fut); n != i || err != nil {
				t.Fatalf("task %d: %d, %v", i, n, err)
			}
		}
		// From now on the new minion gets such tasks at once, even if the old minion
		// gets them first.
		for i, fut := range r.sendFresh(100) {
			if n, err := r.result(fut); n != i || err != nil {
				t.Fatalf("task %d: %d, %v", i, n, err)
			}
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("it took %v", d)
		}
		if q := r.queued(); q.Parked+q.Dead != 0 {
			t.Errorf("queue: %+v", q)
		}
	})
}

// If no minion that can run it comes within a day, the task becomes a dead letter, and its
// error names the minions of the queue.
func TestParkedForADay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) { return 0, nil })
		futs := r.sendFresh(1)
		began := time.Now()
		r.fails(futs[0], task.ErrUnknownTask, `unknown task "fresh"`, "no minion that can run it came in time",
			"the minions of queue default were: ", "tasks work)")
		if d := time.Since(began).Round(time.Minute); d != 24*time.Hour {
			t.Errorf("it failed after %v", d)
		}
	})
}

func TestParkFor(t *testing.T) {
	bubble(t, func(_ *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) { return 0, nil }, minion.ParkFor(time.Minute))
		began := time.Now()
		r.fails(r.sendFresh(1)[0], task.ErrUnknownTask)
		r.near("the end", time.Since(began), time.Minute)
	})
	bubble(t, func(_ *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) { return 0, nil }, minion.ParkFor(0))
		began := time.Now()
		r.fails(r.sendFresh(1)[0], task.ErrUnknownTask, "knows work")
		r.near("the end", time.Since(began), 0)
	})
	for _, d := range []time.Duration{-1, broker.MaxDuration + 1} {
		if _, err := minion.New(memory.New(), minion.ParkFor(d)); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "ParkFor") {
			t.Errorf("ParkFor(%v): %v", d, err)
		}
	}
}

// On a broker that can't park tasks, the task becomes a dead letter at once.
func TestParkWithoutParker(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(bare.Broker{Broker: r.b}, minion.Logger(r.logs.logger())))
		if err := task.Handle(m, work, func(context.Context, args) (int, error) { return 0, nil }); err != nil {
			t.Fatal(err)
		}
		r.start(m, 1)
		began := time.Now()
		r.fails(r.sendFresh(1)[0], task.ErrUnknownTask)
		r.near("the end", time.Since(began), 0)
	})
}

// more are the parameters of work in another build.
type more struct {
	N int `arbiter:"n"`
	M int `arbiter:"m"`
}

// Arguments that don't decode are parked if the sender's parameters were different.
func TestParkedForItsParameters(t *testing.T) {
	const old, renewed = 1, 2
	send := func(t *testing.T, r *rig, schema uint64) *task.Future[int] {
		t.Helper()
		fut, err := task.Define[more, int]("work", task.Schema(schema)).Apply(t.Context(), r.arb, more{3, 4})
		if err != nil {
			t.Fatal(err)
		}
		return fut
	}
	crewOf := func(t *testing.T, r *rig, schema uint64, opts ...minion.Option) {
		t.Helper()
		m := must(minion.New(r.b, append([]minion.Option{minion.Logger(r.logs.logger())}, opts...)...))
		var err error
		if schema == old {
			err = task.Handle(m, task.Define[args, int]("work", task.Schema(old)), func(_ context.Context, a args) (int, error) { return a.N, nil })
		} else {
			err = task.Handle(m, task.Define[more, int]("work", task.Schema(renewed)), func(_ context.Context, a more) (int, error) { return a.N + a.M, nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		r.start(m, 1)
	}
	t.Run("of another build", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			crewOf(t, r, old)
			futs := []*task.Future[int]{send(t, r, renewed), send(t, r, renewed)}
			synctest.Wait()
			if q := r.queued(); q.Parked != 2 {
				t.Fatalf("queue: %+v", q)
			}
			dequeues := r.b.Calls(faulty.Dequeue)
			time.Sleep(time.Hour)
			if n := r.b.Calls(faulty.Dequeue) - dequeues; n > 61 {
				t.Errorf("%d dequeues in an hour", n)
			}
			crewOf(t, r, renewed)
			for _, fut := range futs {
				if n, err := r.result(fut); n != 7 || err != nil {
					t.Errorf("result: %d, %v", n, err)
				}
			}
		})
	})
	t.Run("that nobody has", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			crewOf(t, r, old)
			began := time.Now()
			r.fails(send(t, r, renewed), task.ErrBadArguments, "no minion that can run it came in time")
			r.near("the end", time.Since(began), 24*time.Hour)
		})
	})
	for what, schema := range map[string]uint64{"of the same build": old, "of an unknown build": 0} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				crewOf(t, r, old)
				began := time.Now()
				r.fails(send(t, r, schema), task.ErrBadArguments)
				r.near("the end", time.Since(began), 0)
			})
		})
	}
	t.Run("that decode all the same", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			crewOf(t, r, old)
			fut, err := task.Define[args, int]("work", task.Schema(renewed)).Apply(t.Context(), r.arb, args{5})
			if err != nil {
				t.Fatal(err)
			}
			if n, err := r.result(fut); n != 5 || err != nil {
				t.Errorf("result: %d, %v", n, err)
			}
		})
	})
}

// foreign is a codec that only the new build has.
type foreign struct{ codec.Codec }

func (foreign) Name() string { return "foreign" }

func TestParkedForItsCodec(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(_ context.Context, a args) (int, error) { return a.N, nil })
		arb, err := arbiter.New(r.b, arbiter.Codec(foreign{codec.JSON()}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = arb.Close() }()
		fut, err := work.Apply(t.Context(), arb, args{6})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if q := r.queued(); q.Parked != 1 {
			t.Fatalf("queue: %+v", q)
		}
		r.newCrew(1, minion.Codecs(foreign{codec.JSON()}))
		if n, err := r.result(fut); n != 6 || err != nil {
			t.Errorf("result: %d, %v", n, err)
		}
	})
}

// A task in a built-in codec that the minion refuses, because another of its codecs signs,
// is not parked: no other minion would accept it.
func TestRefusedCodecIsNotParked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		signed, err := codec.Sign(codec.Msgpack(), make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		r.crew(1, func(context.Context, args) (int, error) { t.Error("it ran"); return 0, nil }, minion.Codecs(signed))
		began := time.Now()
		_, err = r.result(r.send(1))
		if !errors.As(err, new(*task.RemoteError)) || !strings.Contains(err.Error(), "msgpack") {
			t.Errorf("result: %v", err)
		}
		r.near("the end", time.Since(began), 0)
	})
}

// A parked task stays parked while a minion that can run it lives and is busy.
func TestParkedWhileTheOtherIsBusy(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := must(minion.New(r.b, minion.Logger(r.logs.logger())))
		if err := task.Handle(m, fresh, func(_ context.Context, a args) (int, error) {
			time.Sleep(10 * time.Minute)
			return a.N, nil
		}); err != nil {
			t.Fatal(err)
		}
		r.start(m, 1)
		futs := r.sendFresh(1)
		synctest.Wait()
		r.crew(1, func(context.Context, args) (int, error) { return 0, nil }, minion.ParkFor(time.Minute))
		for i, fut := range append(futs, r.sendFresh(3)...) {
			if n, err := r.result(fut); n != max(i-1, 0) || err != nil {
				t.Errorf("task %d: %d, %v", i, n, err)
			}
		}
	})
}

// If the list of minions can't be had, the task stays parked.
func TestParkedAgainWhenNobodyKnows(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) { return 0, nil }, minion.ParkFor(time.Minute))
		r.b.Set(faulty.Hooks{Before: func(_ context.Context, op faulty.Op, _ int) error {
			if op == faulty.Minions {
				return faulty.ErrUnavailable
			}
			return nil
		}})
		fut := r.sendFresh(1)[0]
		time.Sleep(time.Hour + time.Second)
		if q := r.queued(); q.Parked != 1 || q.Dead != 0 {
			t.Fatalf("queue: %+v", q)
		}
		if n := r.b.Calls(faulty.Minions); n < 50 || n > 70 {
			t.Errorf("it was looked at %d times in an hour", n)
		}
		if n := r.status(fut.ID()).Attempts; n != 0 {
			t.Errorf("attempt %d of a task that never started", n)
		}
		r.b.Set(faulty.Hooks{})
		r.fails(fut, task.ErrUnknownTask, "came in time")
	})
}

// A parked task can be killed. A minion that stops while it decides about one gives it back.
func TestParkedKill(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(1, func(context.Context, args) (int, error) { return 0, nil })
		futs := r.sendFresh(2)
		synctest.Wait()
		v, err := r.arb.Kill(t.Context(), futs[0].ID())
		if v != arbiter.NeverStarted || err != nil {
			t.Errorf("%s, %v", v, err)
		}
		if _, err := r.result(futs[0]); !errors.Is(err, task.ErrCanceled) {
			t.Error(err)
		}
		if q := r.queued(); q.Parked != 1 {
			t.Errorf("queue: %+v", q)
		}
	})
}

// Old and new minions start and stop under load: no task becomes a dead letter, and each
// runs once.
func TestParkedUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		old := r.crew(3, func(_ context.Context, a args) (int, error) { return a.N, nil })
		young := r.newCrew(3)
		var futs []*task.Future[int]
		for round := range 6 {
			futs = append(futs, r.sendFresh(50)...)
			if round%2 == 0 {
				_ = young.stop()
				time.Sleep(time.Minute)
				young = r.newCrew(3)
			} else {
				_ = old.stop()
				time.Sleep(time.Minute)
				old = r.crew(3, func(_ context.Context, a args) (int, error) { return a.N, nil })
			}
		}
		for i, fut := range futs {
			if n, err := r.result(fut); n != i%50 || err != nil {
				t.Fatal(fmt.Sprint(i), n, err)
			}
		}
		if n := len(r.dead("default")); n > 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}
