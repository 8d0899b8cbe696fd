package arbiter_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/minion"
	"github.com/go-arbiter/arbiter/task"
)

// A callback that can't take nil in place of a missing result is refused with a policy by which results may be missing,
// before anything is sent. The error says how to write the call.
func TestGroupThenWithoutNil(t *testing.T) {
	for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON(), codec.Compress(codec.Msgpack())} {
		bubble(t, func(t *testing.T, r *rig) {
			r.arb = r.arbiter(arbiter.Codec(c))
			j := r.flowCrew(5, moody, minion.Codec(c))
			time.Sleep(time.Second)
			for what, send := range map[string]func() (*arbiter.GroupFuture[int], *task.Future[int], error){
				"Collect": func() (*arbiter.GroupFuture[int], *task.Future[int], error) {
					return arbiter.GroupThen(t.Context(), r.arb, works(1, 0, 2), sumStep(), arbiter.Collect())
				},
				"Quorum": func() (*arbiter.GroupFuture[int], *task.Future[int], error) {
					return arbiter.GroupThen(t.Context(), r.arb, works(1, 0, 2), sumStep(), arbiter.Quorum(2))
				},
				"a squad": func() (*arbiter.GroupFuture[int], *task.Future[int], error) {
					return arbiter.SquadThen(t.Context(), r.arb, works(1, 0, 2), sumStep(), arbiter.Collect())
				},
			} {
				g, fut, err := send()
				if g != nil || fut != nil || !errors.Is(err, task.ErrInvalid) {
					t.Errorf("%s, %s: error %v, want ErrInvalid and no group", c.Name(), what, err)
				}
				for _, want := range []string{"[]int", "[]*int", "task.Then and task.Quorum", "CallbackStep"} {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%s, %s: error %v, want one that has %q", c.Name(), what, err, want)
					}
				}
			}
			if n := j.count("work"); n != 0 {
				t.Errorf("%s: %d members of refused groups ran", c.Name(), n)
			}

			// With all members required, no result can be missing.
			_, fut, err := arbiter.GroupThen(t.Context(), r.arb, works(1, 2), sumStep(), arbiter.Quorum(2))
			if err != nil {
				t.Fatal(err)
			}
			if n, err := await(t, fut); n != 3 || err != nil {
				t.Errorf("%s: the callback returned %d, %v; want 3", c.Name(), n, err)
			}
			// A pointer can be nil.
			maybe := task.Define[args, *int]("work")
			calls := []task.Call[*int]{maybe.Bind(args{1}), maybe.Bind(args{0}), maybe.Bind(args{2})}
			_, fut, err = arbiter.GroupThen(t.Context(), r.arb, calls, countStep(), arbiter.Collect())
			if err != nil {
				t.Fatal(err)
			}
			if n, err := await(t, fut); n != 2 || err != nil {
				t.Errorf("%s: the callback found %d results, %v; want 2", c.Name(), n, err)
			}
		})
	}
}

// Send of a handle without calls returns an error that names the remedy.
func TestSendWithoutCalls(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.flowCrew(2, echo)
		time.Sleep(time.Second)
		squad := r.squad(works(1, 2))
		if err := squad.Send(t.Context()); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "Arbiter.Squad makes another one") ||
			!strings.Contains(err.Error(), squad.ID().String()) {
			t.Errorf("the squad was sent again with the error %v", err)
		}
		g, err := r.arb.Group(t.Context(), task.Calls(works(1, 2)...))
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Send(t.Context()); err != nil {
			t.Errorf("a group that is stored was sent again with the error %v", err)
		}
		found, err := r.arb.FindGroup(t.Context(), g.ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := found.Send(t.Context()); !errors.Is(err, task.ErrInvalid) || !strings.Contains(err.Error(), "a handle of FindGroup has no calls") ||
			!strings.Contains(err.Error(), g.ID().String()) {
			t.Errorf("a found group was sent again with the error %v", err)
		}
	})
}
