package original

import (
	"errors"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/task"
)

// squad returns n equal calls of a task.
func squad(n int, name string, opts ...arbiter.ApplyOption) []task.Bound {
	members := make([]task.Bound, n)
	for i := range members {
		members[i] = arbiter.Named(name, opts...)
	}
	return members
}

// muster sends a squad and waits for its end. Then its members, callback and finalizer must be
// done, and its status must list them with their types and results.
func (r *rig) muster(members []task.Bound, want []string, opts ...arbiter.SquadOption) {
	r.Helper()
	r.allKnown()
	g, err := r.arb.Squad(r.ctx(), members, append(opts, arbiter.WaitForWorkers(time.Minute))...)
	if err == nil {
		err = g.Result(r.ctx(), nil)
	}
	if err != nil {
		r.Fatal(err)
	}
	r.listed(g.ID(), want...)
}

// allKnown waits until the minion is listed.
func (r *rig) allKnown() {
	r.Helper()
	r.until("the minion is listed", func() bool {
		minions, err := r.arb.Minions(r.ctx())
		return err == nil && len(minions) > 0
	})
}

// A squad of three members.
func TestSquad(t *testing.T) {
	onBoth(t, 3, func(r *rig) {
		r.muster(squad(3, "simple_add", arbiter.Args(1, 2)), []string{"task 3", "task 3", "task 3"})
		_, err := r.arb.Squad(r.ctx(), squad(4, "simple_add", arbiter.Args(1, 2)))
		var short *arbiter.NotEnoughWorkersError
		if !errors.Is(err, task.ErrNotEnoughWorkers) || !errors.As(err, &short) || short.Queues[0].Wanted != 4 || short.Queues[0].Total != 3 {
			r.Errorf("a squad of four members returned %v, want a *NotEnoughWorkersError", err)
		}
	})
}

// A squad with a callback.
func TestSquadWithCallback(t *testing.T) {
	onBoth(t, 3, func(r *rig) {
		r.muster(squad(3, "simple_add", arbiter.Args(1, 2)), []string{"task 3", "task 3", "task 3", "callback 1"}, arbiter.Callback(arbiter.Named("callback")))
		if r.callbacks.Load() != 1 {
			r.Errorf("%d callbacks ran, want 1", r.callbacks.Load())
		}
	})
}

// A squad with a callback and a finalizer.
func TestSquadWithCallbackAndFinalizer(t *testing.T) {
	onBoth(t, 3, func(r *rig) {
		r.muster(squad(2, "simple_add", arbiter.Args(1, 2)), []string{"task 3", "task 3", "callback 1", "finalize 1"},
			arbiter.Callback(arbiter.Named("callback")), arbiter.Finalizer(arbiter.Named("finalize"), 0))
		if r.callbacks.Load() != 1 || r.finals.Load() != 1 {
			r.Errorf("%d callbacks and %d finalizers ran, want one of each", r.callbacks.Load(), r.finals.Load())
		}
	})
}

// A squad is killed.
func TestKillSquad(t *testing.T) {
	onBoth(t, 3, func(r *rig) {
		r.allKnown()
		g, err := r.arb.Squad(r.ctx(), squad(3, "long_running"),
			arbiter.Callback(arbiter.Named("callback")), arbiter.WaitForWorkers(time.Minute))
		if err != nil {
			r.Fatal(err)
		}
		r.until("all run", func() bool { return r.started.Load() == 3 })
		killed, err := g.Kill(r.ctx(), arbiter.Wait())
		counts := make(map[arbiter.Verdict]int)
		for _, k := range killed {
			counts[k.Verdict]++
		}
		if err != nil || counts[arbiter.Stopped] != 3 || r.callbacks.Load() != 0 {
			r.Errorf("the kill returned %v, %v, and %d callbacks ran", counts, err, r.callbacks.Load())
		}
		if err := g.Result(r.ctx(), nil); !errors.Is(err, task.ErrCanceled) {
			r.Errorf("the killed squad returned the error %v", err)
		}
	})
}
