package original

import (
	"context"
	"testing"

	"github.com/go-arbiter/arbiter/arbiter"
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
	"github.com/go-arbiter/arbiter/task"
)

// addInPipeArgs are the parameters of the original's function
//
//	def add_in_pipe(x, y, upstream=0)
type addInPipeArgs struct {
	X        int `arbiter:"x"`
	Y        int `arbiter:"y"`
	Upstream int `arbiter:"upstream,default=0"`
}

var addInPipe = task.Define[addInPipeArgs, int]("add_in_pipe")

func (r *rig) addInPipe(_ context.Context, a addInPipeArgs) (int, error) {
	return a.X + a.Y + a.Upstream, nil
}

// add_in_pipe is the first step of a pipe, which gets no upstream result, and all later steps. The
// pipe returns its id, then the result of each step in turn.
func TestAddInPipe(t *testing.T) {
	onEach(t, func(r *rig, arb *arbiter.Arbiter) {
		steps := make([]task.Bound, 20)
		for i := range steps {
			steps[i] = arbiter.Named("add_in_pipe", arbiter.Args(1))
		}
		p, err := arb.Pipe(r.ctx(), steps, arbiter.PersistentArgs(4))
		if err != nil || p.ID() == (task.ID{}) {
			r.Fatal(p, err)
		}
		n, want := 0, int64(0)
		for st, err := range p.WaitForMembers(r.ctx()) {
			n, want = n+1, want+5
			if sum, bad := st.Result(); err != nil || bad != nil || st.Phase() != broker.PhaseDone || sum != want {
				r.Fatalf("step %d returned %v, want %d; state %s, errors: %v, %v", n, sum, want, st.State, bad, err)
			}
		}
		if n != len(steps) {
			r.Errorf("%d of %d steps were done", n, len(steps))
		}
	})
}

// add_in_pipe is called outside of a pipe, by position and by name, with its optional parameter and
// without it.
func TestAddInPipeAlone(t *testing.T) {
	onEach(t, func(r *rig, arb *arbiter.Arbiter) {
		for _, test := range []struct {
			args arbiter.ApplyOption
			want int64
		}{
			{arbiter.Args(1, 2), 3},
			{arbiter.Args(1, 2, 10), 13},
			{arbiter.KwArgs(map[string]any{"x": 1, "y": 2}), 3},
			{arbiter.KwArgs(map[string]any{"y": 2, "upstream": 20, "x": 1}), 23},
		} {
			ids, err := arb.Apply(r.ctx(), "add_in_pipe", test.args)
			if err != nil {
				r.Fatal(err)
			}
			for st, err := range arb.WaitForTasks(r.ctx(), ids...) {
				if sum, bad := st.Result(); err != nil || bad != nil || sum != test.want {
					r.Errorf("the result is %v, want %d; errors: %v, %v", sum, test.want, bad, err)
				}
			}
		}
	})
}

// onEach runs a test on memory and on Redis, with each of the two codecs.
func onEach(t *testing.T, test func(r *rig, arb *arbiter.Arbiter)) {
	onBoth(t, 3, func(r *rig) {
		for _, c := range []codec.Codec{codec.Msgpack(), codec.JSON()} {
			arb, err := arbiter.New(r.b, arbiter.Codec(c), arbiter.Logger(silent))
			if err != nil {
				r.Fatal(err)
			}
			test(r, arb)
			if err := arb.Close(); err != nil {
				r.Error(err)
			}
		}
	})
}
