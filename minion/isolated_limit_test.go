package minion_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/broker/memory"
	"github.com/go-arbiter/arbiter/internal/testing/stall"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

func TestIsolatedMemory(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.MemoryLimit(400<<20))
	if tr, err := y.do(deed{What: "eat", N: 100}); err != nil || tr.N != 100 {
		t.Errorf("result: %+v, %v", tr, err)
	}
	e := y.remote(deed{What: "eat", N: 20_000})
	if !errors.Is(e, task.ErrMemoryLimit) || !errors.Is(e, task.ErrCrashed) || !strings.Contains(e.Message, "419430400 bytes") {
		t.Errorf("error: %+v", e)
	}
	if tr, err := y.do(deed{What: "eat", N: 1}); err != nil || tr.N != 1 {
		t.Errorf("result: %+v, %v", tr, err)
	}
}

func TestIsolatedSize(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	big := strings.Repeat("x", 1<<20-200)
	if tr, err := y.do(deed{What: "echo", Text: big}); err != nil || tr.Text != big {
		t.Errorf("%d bytes, %v", len(tr.Text), err)
	}
	e := y.remote(deed{What: "long", N: 2 << 20})
	if !errors.Is(e, task.ErrBadResult) || !errors.Is(e, task.ErrTooLarge) {
		t.Errorf("error: %+v", e)
	}
}

func TestIsolatedOutput(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.ChildTasks(1))
	fut := y.send(deed{What: "print", Text: "goes"})
	if _, err := y.result(fut); err != nil {
		t.Error(err)
	}
	if err := y.stop(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{
		`msg="goes to stdout" task.id=` + fut.ID().String() + ` task.name=isolated`, "stream=stdout",
		`msg="goes to stderr"`, "stream=stderr",
	} {
		if !strings.Contains(y.logs.String(), want) {
			t.Errorf("%q was not logged", want)
		}
	}
}

func TestIsolatedReuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ n, each, least, most int }{{100, 0, 1, 4}, {20, 5, 4, 8}, {8, 1, 8, 8}} {
		y := newYard(t, 4, minion.ChildTasks(tt.each))
		futs := make([]*task.Future[trace], tt.n)
		for i := range futs {
			futs[i] = y.send(deed{What: "echo", N: i})
		}
		pids := make(map[int]int)
		for i, fut := range futs {
			tr, err := y.result(fut)
			if err != nil || tr.N != i {
				t.Errorf("result: %+v, %v", tr, err)
			}
			pids[tr.PID]++
		}
		if len(pids) < tt.least || len(pids) > tt.most {
			t.Errorf("%d tasks, %d for each child: %d processes, want %d to %d", tt.n, tt.each, len(pids), tt.least, tt.most)
		}
		if err := y.stop(); err != nil {
			t.Error(err)
		}
		for pid := range pids {
			y.wantGone(pid, 0)
		}
	}
}

// The processes that a handler has started are killed with its own.
func TestIsolatedGroup(t *testing.T) {
	t.Parallel()
	y := newYard(t, 1, minion.KillGrace(0))
	fut := y.send(deed{What: "breed", Text: "bred"})
	pid := y.printed("bred")
	if v, err := y.arb.Kill(t.Context(), fut.ID(), arbiter.Wait()); v != arbiter.Stopped || err != nil {
		t.Errorf("kill: %v, %v", v, err)
	}
	y.wantGone(pid, time.Minute)
}

// A minion that stops first lets children finish, then tells them to end, then kills them.
func TestIsolatedDrain(t *testing.T) {
	t.Parallel()
	const drain = 2 * time.Second
	y := newYard(t, 3, minion.DrainTimeout(drain))
	quick := y.send(deed{What: "nap", Text: "naps 1"}) // a fifth of a second
	good := y.send(deed{What: "obey", Text: "good 1"})
	bad := y.send(deed{What: "ignore", Text: "bad"})
	y.printed("good")
	pid := y.printed("bad")
	y.printed("naps")
	busy, began := stall.Start(t), time.Now()
	if err := y.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < drain+minion.DefaultKillGrace-100*time.Millisecond || took > busy.Late(drain+4*time.Second) {
		t.Errorf("stopped after %v", took)
	}
	y.wantGone(pid, 0)
	if tr, err := y.result(quick); tr.Text != "naps 1" || err != nil {
		t.Errorf("result: %+v, %v", tr, err)
	}
	for _, fut := range []*task.Future[trace]{good, bad} {
		st, err := y.arb.Status(t.Context(), fut.ID())
		if err != nil || st.State != broker.StatePending || st.Retried != 0 {
			t.Errorf("%+v, %v", st, err)
		}
	}
}

func TestIsolatedOptions(t *testing.T) {
	t.Parallel()
	m := must(minion.New(memory.New(), minion.Isolated("nobody")))
	if err := registerIsolated(m); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context(), 1); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "nobody") {
		t.Error(err)
	}
}
