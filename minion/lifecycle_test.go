package minion_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func nothing(context.Context, args) (int, error) { return 0, nil }

func TestRunRefuses(t *testing.T) {
	b := memory.New()
	ctx := context.Background()
	ready := func(opts ...minion.Option) *minion.Minion {
		m := must(minion.New(b, opts...))
		if err := task.Handle(m, work, nothing); err != nil {
			t.Fatal(err)
		}
		return m
	}
	check := func(what string, err error, says string) {
		t.Helper()
		if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want an error that says %q", what, err, says)
		}
	}
	check("no slots", ready().Run(ctx, 0), "0 slots")
	check("too many slots", ready().Run(ctx, minion.MaxSlots+1), "slots")
	check("no task", must(minion.New(b)).Run(ctx, 1), "no task")
	_, err := minion.New(nil)
	check("no broker", err, "broker is nil")

	over, cancel := context.WithCancel(ctx)
	cancel()
	m := ready()
	check("slots first", m.Run(ctx, -1), "slots") // this does not count as a run
	if err := m.Run(over, 1); err != nil {
		t.Errorf("run with a context that is over: %v", err)
	}
	check("run twice", m.Run(ctx, 1), "before")
	check("register after run", task.Handle(m, task.Define[args, int]("late"), nothing), "after Run")
}

// New returns an error for an invalid option. It names the option, its value and the
// remedy.
func TestOptionsRefused(t *testing.T) {
	for says, opt := range map[string]minion.Option{
		`Queue: invalid queue name "no good": want 1 to`:    minion.Queue("no good"),
		`Queues: invalid queue name "": want 1 to`:          minion.Queues("a", ""),
		"Queues: no queue; name one":                        minion.Queues(),
		"Queues: queue a is named twice; name it once":      minion.Queues("a", "b", "a"),
		"Weighted: queue a has weight 0, want 1 to":         minion.Weighted(map[string]int{"a": 0}),
		"Weighted: no queue; name one":                      minion.Weighted(nil),
		"Retry(-1), want 0 to":                              minion.Retry(-1, nil),
		"DrainTimeout(-1s), want 0 to":                      minion.DrainTimeout(-time.Second),
		"MaxRecoveries(0), want 1 to":                       minion.MaxRecoveries(0),
		"ParkFor(-1s), want 0 to":                           minion.ParkFor(-time.Second),
		"Logger(nil), want a logger; leave":                 minion.Logger(nil),
		"Codec(nil), want a codec; leave":                   minion.Codec(nil),
		"Codecs: number 2":                                  minion.Codecs(codec.JSON(), nil),
		"Use: number 1 is nil, want a function":             minion.Use(nil),
		`Isolated: invalid task name "no name": want 1 to`:  minion.Isolated("no name"),
		"MemoryLimit(1), want 0, or":                        minion.MemoryLimit(1),
		"KillGrace(-1s), want 0 to":                         minion.KillGrace(-time.Second),
		"KillGrace(1h0m0s), want 0 to":                      minion.KillGrace(time.Hour),
		"ChildTasks(-1), want 0 for no limit, or 1 or more": minion.ChildTasks(-1),
	} {
		m, err := minion.New(memory.New(), opt)
		if m != nil || !errors.Is(err, task.ErrInvalid) || !strings.HasPrefix(err.Error(), "minion: invalid option: "+says) {
			t.Errorf("%v, %v, want an error that says %q", m, err, says)
		}
	}
	_, err := minion.New(memory.New(), minion.Queue("a"), minion.Queue("b"))
	if err == nil || !strings.Contains(err.Error(), "another option has set the queues") {
		t.Errorf("two queue options: %v", err)
	}
}

func TestRegisterAllOrNothing(t *testing.T) {
	m := must(minion.New(memory.New()))
	other := task.Define[args, int]("other")
	bad := task.Define[args, int]("bad name")
	err := m.Register(task.Implement(other, nothing), task.Implement(bad, nothing))
	if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "bad name") {
		t.Errorf("register: %v", err)
	}
	if err := m.Register(task.Implement(other, nothing)); err != nil {
		t.Errorf("a part of a failed registration was kept: %v", err)
	}
	for what, err := range map[string]error{
		"taken":       task.Handle(m, other, nothing),
		"given twice": m.Register(task.Implement(work, nothing), task.Implement(work, nothing)),
	} {
		if !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "taken") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := m.Register(task.Registration{Name: "x"}); !errors.Is(err, task.ErrInvalid) {
		t.Errorf("without a handler: %v", err)
	}
	if err := m.Register(); err != nil {
		t.Errorf("register nothing: %v", err)
	}
}

func TestStopBeforeRun(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, stop := range []func(*minion.Minion) error{
			func(m *minion.Minion) error { return m.Stop(t.Context()) },
			(*minion.Minion).Close,
		} {
			m := must(minion.New(r.b))
			if err := task.Handle(m, work, nothing); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(stop(m), stop(m)); err != nil {
				t.Errorf("stop before run: %v", err)
			}
			if err := m.Run(t.Context(), 1); !errors.Is(err, task.ErrClosed) {
				t.Errorf("run after stop: %v", err)
			}
			if err := stop(m); err != nil {
				t.Errorf("stop after run: %v", err)
			}
		}
	})
}

// Stop, Close and the end of the context work in any order relative to the start of Run.
func TestStartStopStress(t *testing.T) {
	for range 300 {
		b := memory.New()
		m := must(minion.New(b, minion.DrainTimeout(time.Second)))
		if err := task.Handle(m, work, nothing); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				switch i {
				case 0, 1:
					err := m.Run(ctx, 2)
					if err != nil && !errors.Is(err, task.ErrClosed) && !errors.Is(err, task.ErrInvalid) {
						t.Errorf("run: %v", err)
					}
				case 2:
					_ = m.Stop(context.Background())
				case 3:
					_ = m.Close()
				case 4:
					cancel()
				case 5:
					_ = m.Stop(ctx)
				}
			})
		}
		wg.Wait()
		cancel()
		_ = b.Close()
	}
}

// An idle minion sends only heartbeats and one dequeue a minute.
func TestIdle(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.crew(10, nothing)
		synctest.Wait()
		before := r.b.Total()
		time.Sleep(time.Hour)
		if n := r.b.Total() - before; n > 1000 {
			t.Errorf("%d requests in an idle hour", n)
		}
	})
}
