package arbiter_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/internal/testing/faulty"
	"github.com/go-arbiter/arbiter/task"
)

// As after arbiter.close() in the original, nothing depends on the arbiter: it is closed right after it has sent a group,
// and all of the group is done.
func TestGroupOutlivesItsArbiter(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		gone, err := arbiter.New(r.b, arbiter.Logger(silent))
		if err != nil {
			t.Fatal(err)
		}
		g, err := arbiter.GroupOf(t.Context(), gone, works(1, 2, 3), arbiter.Callback(note(1)), arbiter.Finalizer(note(2), 0))
		if err != nil {
			t.Fatal(err)
		}
		p, err := gone.Pipe(t.Context(), []task.Bound{arbiter.Named("work", arbiter.Args(5)), arbiter.Named("add", arbiter.KwArgs(map[string]any{"n": 1}))})
		if err != nil {
			t.Fatal(err)
		}
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
		j := r.flowCrew(2, slow)
		found, err := r.arb.FindGroup(t.Context(), g.ID())
		if err != nil || found.Callback() != g.Callback() || found.Finalizer() != g.Finalizer() {
			t.Fatal(found, err)
		}
		n := 0
		for _, err := range found.WaitForMembers(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if err := r.ended(found); err != nil || n != 3 {
			t.Errorf("%d members, %v", n, err)
		}
		if got := j.noted(); len(got) != 2 || got[0] != 1 || got[1] != 2 {
			t.Errorf("ran as %v", got)
		}
		if n, err := await(t, task.NewFuture[int](r.arb, p.ID())); n != 6 || err != nil {
			t.Errorf("the pipe gives %d, %v", n, err)
		}
	})
}

// mortal starts a minion whose process dies at its n-th request to the broker.
func (r *rig) mortal(n int) (j *journal, died *atomic.Bool) {
	died = new(atomic.Bool)
	var calls atomic.Int32
	b := faulty.New(r.b.Broker)
	b.Set(faulty.Hooks{
		Before: func(context.Context, faulty.Op, int) error {
			if int(calls.Add(1)) == n && n%2 == 0 {
				died.Store(true)
			}
			if died.Load() {
				return faulty.ErrUnavailable
			}
			return nil
		},
		After: func(faulty.Op, int) error {
			if int(calls.Load()) >= n && n%2 == 1 {
				died.Store(true)
			}
			if died.Load() {
				return faulty.ErrLostReply
			}
			return nil
		},
	})
	alive := r.b
	r.b = b
	j = r.flowCrew(2, func(ctx context.Context, a args) (int, error) {
		n, err := slow(ctx, a)
		if died.Load() {
			return 0, errors.Join(err, errBad)
		}
		return n, err
	})
	r.b = alive
	return j, died
}

// All minions die at some moment, and a new one starts. The callback runs once, and so does everything after it.
func TestMinionsDie(t *testing.T) {
	for n := 1; ; n++ {
		var survived bool
		bubble(t, func(t *testing.T, r *rig) {
			first, died := r.mortal(n)
			g, fut, err := arbiter.GroupThen(t.Context(), r.arb, works(1, 2, 3, 4), sumStep(), arbiter.Finalizer(note(2), 0))
			if err != nil {
				t.Fatal(err)
			}
			pipe, err := task.Then(task.Then(work.Bind(args{2}), plus(10)), plus(100)).Send(t.Context(), r.arb)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
			survived = !died.Load()
			second := r.flowCrew(2, slow)
			if n, err := await(t, fut); n != 10 || err != nil {
				t.Errorf("the callback gives %d, %v", n, err)
			}
			if err := r.ended(g); err != nil {
				t.Error(err)
			}
			if n, err := await(t, pipe); n != 112 || err != nil {
				t.Errorf("the pipe gives %d, %v", n, err)
			}
			for what, id := range map[string]task.ID{"sum": g.Callback(), "note": g.Finalizer()} {
				st, err := r.arb.Status(t.Context(), id)
				if ran := first.count(what) + second.count(what); err != nil || ran < 1 || ran > st.Attempts {
					t.Errorf("death at request %d: %s ran %d times in %d attempts, %v", n, what, ran, st.Attempts, err)
				}
			}
		})
		if survived || t.Failed() {
			t.Logf("%d deaths", n-1)
			return
		}
	}
}
